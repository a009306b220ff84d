# What the program says of itself, its manual page and docs/client.md name the same commands, options and statuses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotClient;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $docs = slurp_file("$top/docs/client.md");
my $man = slurp_file("$top/src/client/eiot.1");

# Without fonts, requests and escapes; words of a line that alternate fonts stand in quotes or by themselves.
sub plain
{
	my ($text) = @_;
	$text =~ s/\\f[BIRP]|\\&//g;
	$text =~ s/^\.(?:B|I|BI|BR|IR|RI|IB|RB) (.*)$/alternating($1)/gme;
	$text =~ s/\\-/-/g;
	return $text;
}

sub alternating
{
	my ($line) = @_;
	return join '', map { s/^"|"$//gr } $line =~ /"[^"]*"|\S+/g;
}
$man = plain($man);

# ---- commands

my ($listed) = (eiot(undef, undef, ['--help']))[1] =~ /^Commands.*?\n(.*?)\n\n/ms;
my @commands = $listed =~ /^  (\w+(?: \w+)?)  /mg;
cmp_ok(scalar @commands, '>=', 9, 'there are commands');
my ($man_commands, $man_options) = $man =~ /^\.SH COMMANDS\n(.*?)^\.SH OPTIONS\n(.*?)^\.SH EXIT/ms;
my %section = map { /\A(import \w+|\w+)\b/ ? ($1 => $_) : () } split /^\.TP\n/m, $man_commands;
is_deeply([ sort keys %section ], [ sort @commands ], 'the manual page has these commands');
is_deeply([ sort $docs =~ /^\| `eiot ((?:import )?\w+)/mg ], [ sort @commands ], 'so has the page');

# ---- options: each command's own, and those of all

my ($usage_of_all) = (eiot(undef, undef, ['--help']))[1] =~ /^(Connection.*)/ms;
my @of_all = $usage_of_all =~ /^ +(?:-\S, )?(--[\w-]+)/mg;
cmp_ok(scalar @of_all, '>=', 10, 'there are options of all commands');
like($man_options, qr/\Q$_\E\b/, "the manual page has $_") for @of_all;
like($usage_of_all, qr/^ +(?:-\S, )?\Q$_\E\b/m, "$_ of the manual page is told by --help") for $man_options =~ /(--[a-z][\w-]+)/g;
for my $command (@commands)
{
	my $help = (eiot(undef, undef, [ split(/ /, $command), '--help' ]))[1];
	my ($own) = $help =~ /\A(.*?)^Connection/ms;
	my %told = map { $_ => 1 } $own =~ /^ +(?:-\S, )?(--[\w-]+)/mg;
	my $text = $section{$command};
	$text =~ s/options as above/$section{coverage} =~ m{\A(.*)$}m ? $1 : ''/e;
	my %long = ('-o' => '--output', '-q' => '--quiet');
	my %written = map { ($long{$_} // $_) => 1 } $text =~ /(?<![\w-])(--[a-z][\w-]+|-[oq])\b/g;
	is_deeply([ sort keys %written ], [ sort keys %told ], "$command: the same options in the manual page");
	for my $option (sort keys %told)
	{
		next if $option eq '--quiet';
		my ($short) = grep { $long{$_} eq $option } keys %long;
		like($docs, qr/`[^`]*(?:\Q$option\E${\($short ? "|$short" : '')})\b/, "$command $option is in the page") ;
	}
}
my $every_help = join '', map { (eiot(undef, undef, [ split(/ /, $_), '--help' ]))[1] } @commands;
my %of_page = map { $_ => 1 } map { /(?<![\w-])(--[a-z][\w-]+)/g } grep { !/pg_config/ } split /\n/, $docs;
like($every_help, qr/^ +(?:-\S, )?\Q$_\E\b/m, "$_ of the page is told by --help") for grep { $_ ne '--help' } sort keys %of_page;

# ---- statuses

my ($statuses) = (eiot(undef, undef, ['--help']))[1] =~ /^Exit status: (.*)/ms;
my @numbers = $statuses =~ /\b(\d)\b/g;
is_deeply([ $docs =~ /^\| (\d) \| /mg ], \@numbers, 'the page has the statuses of --help');
is_deeply([ ($man =~ /^\.SH EXIT STATUS\n(.*?)^\.SH/ms)[0] =~ /^(\d)$/mg ], \@numbers, 'so has the manual page');

# ---- it is a manual page

SKIP:
{
	skip 'man is not installed', 1 unless `man --version 2>/dev/null`;
	my $warnings = `man --warnings -E UTF-8 -l '$top/src/client/eiot.1' 2>&1 >/dev/null`;
	is($warnings, '', 'which is formatted without a warning');
}

done_testing();
