# Speaks everything that the router carries: HTTP and websockets on $PORT, raw TCP on 7000, UDP on 7001, and HTTP/2 in the
# clear, as gRPC servers do, on 7002. Each sends back what it gets.
use strict;
use warnings;
use Digest::SHA qw(sha1);
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64);

$| = 1;
my $port = $ENV{PORT} // 5000;
my %servers = (
    $port => \&http,
    7000  => sub { my ($client) = @_; while (sysread $client, my $bytes, 16384) { print $client $bytes } },
    7002  => \&http2,
);
my ($ending, $busy, @children) = (0, 0);
$SIG{TERM} = sub { $ending = 1; kill TERM => @children; exit 0 unless $busy };
# Before HTTP, by which it is seen that all is there: nobody says of a datagram again what was said too early.
my $datagrams = IO::Socket::INET->new(Proto => 'udp', LocalPort => 7001) or die "port 7001: $!\n";
start(\&udp);
for my $number (sort keys %servers) { start(sub { listen_on($number, $servers{$number}) }) }
print "everything is there, HTTP on $port\n";
waitpid $_, 0 for @children;

sub start {
    my ($work) = @_;
    my $child = fork;
    if (!$child) { @children = (); $work->(); exit 0 }
    push @children, $child;
}

sub listen_on {
    my ($number, $serve) = @_;
    local $SIG{CHLD} = 'IGNORE';
    my $listener = IO::Socket::INET->new(LocalPort => $number, Listen => 256, ReuseAddr => 1) or die "port $number: $!\n";
    while (!$ending) {
        my $client = $listener->accept or next;
        $client->autoflush(1);
        setsockopt $client, 6, 1, 1;    # TCP_NODELAY
        if (!fork) { close $listener; $serve->($client); exit 0 }
        close $client;
    }
}

sub http {
    my ($client) = @_;
    while (!$ending) {
        my $line = <$client> // last;
        $busy = 1;
        my ($method, $target) = split ' ', $line;
        my %head;
        while (defined(my $header = <$client>)) {
            $header =~ s/\s+$//;
            last if $header eq '';
            $head{lc $1} = $2 if $header =~ /^([^:]+):\s*(.*)/;
        }
        return websocket($client, $head{'sec-websocket-key'}) if lc($head{upgrade} // '') eq 'websocket';
        my $body = body($client, \%head);
        sleep $1 if $target =~ m{^/slow/(\d+)};
        my $proto = $head{'x-forwarded-proto'} // 'none';
        my $text  = $method eq 'GET' ? "$proto $target\n" : length($body) . " bytes\n";
        my $close = $ending ? "Connection: close\r\n" : '';
        print $client "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ", length $text, "\r\n$close\r\n$text";
        $busy = 0;
    }
}

sub body {
    my ($client, $head) = @_;
    my $body = '';
    if (lc($head->{'transfer-encoding'} // '') eq 'chunked') {
        while (my $size = hex(<$client> // 0)) {
            read $client, my $chunk, $size;
            $body .= $chunk;
            <$client>;
        }
        <$client>;
    }
    else { read $client, $body, $head->{'content-length'} // 0 }
    return $body;
}

# Frames of up to 125 bytes, as tests send them.
sub websocket {
    my ($client, $key) = @_;
    my $accept = encode_base64(sha1($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'), '');
    print $client "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: $accept\r\n\r\n";
    while (read($client, my $start, 2) == 2) {
        my ($first, $length) = unpack 'CC', $start;
        $length &= 127;
        read $client, my $mask, 4;
        my $text = '';
        read $client, $text, $length if $length;
        $text ^= substr($mask x 32, 0, $length);
        print $client pack('CC', $first, $length) . $text;
        last if ($first & 15) == 8;
    }
}

sub udp {
    while (defined(my $from = $datagrams->recv(my $text, 65535))) { $datagrams->send($text, 0, $from) }
}

# As much of HTTP/2 as an answer with trailers takes. Heads of requests are not looked at.
sub http2 {
    my ($client) = @_;
    read $client, my $preface, 24;
    frame($client, 4, 0, 0, '');
    my %body;
    while (read($client, my $head, 9) == 9) {
        my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $head;
        my $length = $high << 16 | $low;
        my $bytes = '';
        read $client, $bytes, $length if $length;
        frame($client, 4, 1, 0, '') if $type == 4 && !($flags & 1);
        frame($client, 6, 1, 0, $bytes) if $type == 6 && !($flags & 1);
        if ($type == 0) {
            $body{$stream} .= $bytes;
            frame($client, 8, 0, $_, pack 'N', $length) for grep { $length } 0, $stream;
        }
        answer2($client, $stream, delete $body{$stream} // '') if $type <= 1 && $flags & 1;
    }
}

sub answer2 {
    my ($client, $stream, $body) = @_;
    frame($client, 1, 4, $stream, "\x88" . field('content-type', 'application/grpc'));
    frame($client, 0, 0, $stream, $body) if length $body;
    frame($client, 1, 5, $stream, field('grpc-status', '0') . field('grpc-message', 'well'));
}

sub field { join '', "\0", map { chr(length) . $_ } @_ }

sub frame {
    my ($client, $type, $flags, $stream, $bytes) = @_;
    my $length = length $bytes;
    print $client pack('CnCCN', $length >> 16, $length & 65535, $type, $flags, $stream) . $bytes;
}
