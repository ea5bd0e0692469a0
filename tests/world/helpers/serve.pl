# A line server on IO::Socket::INET as it is by default, without SO_REUSEADDR; argument: PORT.
use strict;
use warnings;
use IO::Socket::INET;

my $server = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 5) or die "bind: $!\n";
while (my $client = $server->accept) {
    print $client "hello from perl, " . <$client>;
    close $client;
}
