-- One app's rows of a time. Without it they were looked for among everybody's.
CREATE INDEX usage_of_app ON usage (app_id, step, at);
