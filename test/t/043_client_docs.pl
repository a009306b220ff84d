# The pages about the program say what happens: every ```sh block whose next block is a ```text block is run, in order and in
# the tree, and must print that text.  The ```sql blocks of guides/nightly-import.md as well.

use strict;
use warnings;

use Cwd;
use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = Cwd::abs_path("$FindBin::RealBin/../..");
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_cluster('client_docs');

sub blocks
{
	my ($page) = @_;
	my $text = slurp_file("$top/$page");
	my @blocks;
	push @blocks, { language => $1, body => $2 } while $text =~ /^```(\w*)\n(.*?)^```$/msg;
	return @blocks;
}

sub trim
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	$text =~ s/\A\n+|\n+\z//g;
	return $text;
}

$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', q{SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE; CREATE SCHEMA asset; SELECT eiot.create_inventory('asset.device')});
my $id = (tenants())[0]{tenant_id};
my $data = data_dir();
$node->safe_psql('d', qq{INSERT INTO eiot.tenant (tenant_id, name) VALUES ('$id', 'Fabrikam');
	SELECT FROM eiot.import_subscribed_skus('$id', pg_read_file('$data/fabrikam/subscribedSkus.json')::jsonb, '2026-08-12');
	SELECT FROM eiot.import_device_info('asset.device', '$id', pg_read_file('$data/fabrikam/DeviceInfo.json')::jsonb)});

local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'd');
for my $page ('docs/client.md', 'docs/guides/nightly-import.md')
{
	my @blocks = blocks($page);
	my $pairs = 0;
	for my $i (0 .. $#blocks - 1)
	{
		my ($block, $next) = @blocks[ $i, $i + 1 ];
		next if $next->{language} ne 'text' || $block->{language} !~ /^(?:sh|sql)$/ || $block->{body} =~ /^#!/;
		$pairs++;
		# nothing of it stays behind in /tmp
		my $body = $block->{body} =~ s{/tmp/}{$dir/}gr;
		open my $script, '>', "$dir/script" or die "$dir/script: $!";
		print $script $body;
		close $script or die "$dir/script: $!";
		my $command = $block->{language} eq 'sh' ? "sh '$dir/script'" : "psql -X <'$dir/script'";
		my $printed = `cd '$top' && $command 2>&1`;
		is(trim($printed), trim($next->{body}), "$page: " . (split /\n/, $block->{body})[0]);
	}
	cmp_ok($pairs, '>=', 1, "$page has pairs");
}

$node->stop;
done_testing();
