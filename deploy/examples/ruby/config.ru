# frozen_string_literal: true

run lambda { |env|
  body = "Hello from Ruby on Sarsen (#{ENV.fetch('DYNO', 'local')}, #{env['PATH_INFO']})\n"
  [200, { "content-type" => "text/plain; charset=utf-8" }, [body]]
}
