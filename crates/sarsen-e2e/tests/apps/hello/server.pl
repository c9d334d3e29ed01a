# A web server for tests: a process per connection, keep-alive, a tidy end on SIGTERM.
use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();

$| = 1;
my $port    = $ENV{PORT} // 5000;
my $address = $ENV{LISTEN} // '0.0.0.0';
my $dyno    = $ENV{DYNO} // 'local';
my $version = read_file('version.txt');
my $listener = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Listen => 256, ReuseAddr => 1)
    or die "cannot listen on $port: $!\n";
my $ending = 0;
my $busy   = 0;
$SIG{CHLD} = 'IGNORE';
$SIG{TERM} = sub { $ending = 1; exit 0 unless $busy };
print "version $version listens on $port\n";

while (!$ending) {
    my $client = $listener->accept or next;
    $client->sockopt(SO_REUSEADDR => 1);
    setsockopt $client, 6, 1, 1;    # TCP_NODELAY
    my $child = fork;
    if (!$child) {
        close $listener;
        serve($client);
        exit 0;
    }
    close $client;
}

sub serve {
    my ($client) = @_;
    while (!$ending) {
        my $line = <$client> // last;
        $busy = 1;
        my ($method, $target) = split ' ', $line;
        my $length = 0;
        while (defined(my $header = <$client>)) {
            $header =~ s/\s+$//;
            last if $header eq '';
            $length = $1 if $header =~ /^content-length:\s*(\d+)/i;
        }
        my $body = '';
        read $client, $body, $length if $length;
        my ($status, $text) = answer($method, $target, $body);
        print "$method $target $status\n" if $target ne '/load';
        my $close = $ending ? "Connection: close\r\n" : '';
        print $client "HTTP/1.1 $status\r\nContent-Type: text/plain\r\nContent-Length: ", length $text, "\r\n$close\r\n", $text;
        $client->flush;
        $busy = 0;
    }
}

sub answer {
    my ($method, $target, $body) = @_;
    return ('200 OK', "got " . length($body) . " bytes: $body\n") if $method eq 'POST';
    return ('200 OK', ($ENV{$1} // 'not set') . "\n")             if $target =~ m{^/env/(\w+)};
    return ('200 OK', "$dyno\n")                                  if $target eq '/dyno';
    if ($target =~ m{^/slow/(\d+)}) {
        sleep $1;
        return ('200 OK', "slept\n");
    }
    if ($target eq '/health') {
        return -e 'unhealthy' ? ('500 Internal Server Error', "unhealthy\n") : ('200 OK', "healthy\n");
    }
    return ('200 OK', "hello from $version\n");
}

sub read_file {
    my ($path) = @_;
    open my $file, '<', $path or return 'none';
    local $/;
    my $text = <$file>;
    $text =~ s/\s+$//;
    return $text;
}
