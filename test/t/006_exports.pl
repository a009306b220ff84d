# The exports in test/data are what generate.pl writes, byte for byte.

use strict;
use warnings;

use File::Find;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{EIOT_TEST_DATA} // "$FindBin::RealBin/../data";
my $dir = PostgreSQL::Test::Utils::tempdir();

sub files
{
	my ($top) = @_;
	my @files;
	find({ no_chdir => 1, wanted => sub { push @files, substr($_, length($top) + 1) if -f } }, $top);
	return sort @files;
}

command_ok([ $^X, "$data/generate.pl", $dir ], 'generate.pl runs');
my @generated = files($dir);
cmp_ok(scalar @generated, '>', 20, 'and writes files');
is_deeply([ grep { slurp_file("$dir/$_") ne (-f "$data/$_" ? slurp_file("$data/$_") : '') } @generated ], [],
	'every one of them is the committed one');

# Folders that it writes into have nothing else; README.md says what is expected, and is no export.
my %folder = map { m{^(.*)/} ? ($1 => 1) : () } @generated;
my %generated = map { $_ => 1 } @generated;
is_deeply([ grep { m{^(.*)/} && $folder{$1} && !$generated{$_} } files($data) ], [], 'and no other lies among them');

done_testing();
