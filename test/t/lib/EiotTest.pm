# What the TAP tests share: clusters with the extension, and the exports of test/data loaded into them.
package EiotTest;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(new_cluster data_dir tenants load_exports fails);

# A running cluster in UTC, without JIT: nothing here is worth compiling for.
sub new_cluster
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', join("\n", "timezone = 'UTC'", 'jit = off', @settings, ''));
	$node->start;
	return $node;
}

sub data_dir
{
	return $ENV{EIOT_TEST_DATA} // "$FindBin::RealBin/../data";
}

# The tenants of tenants.csv: { tenant_id, name, folder } each.  No field has quotes.
sub tenants
{
	my ($header, @lines) = split /\r?\n/, slurp_file(data_dir() . '/tenants.csv');
	my @names = split /,/, $header;
	my @tenants;
	for my $line (@lines)
	{
		my %tenant;
		@tenant{@names} = split /,/, $line;
		push @tenants, \%tenant;
	}
	return @tenants;
}

# All tenants with their licenses as of 2026-08-12, and their devices in each of the inventories, which are there.
sub load_exports
{
	my ($node, $db, @inventories) = @_;
	my $data = data_dir();
	my $sql = '';
	for my $tenant (tenants())
	{
		my $id = $tenant->{tenant_id};
		my $folder = "$data/$tenant->{folder}";
		$sql .= "INSERT INTO eiot.tenant (tenant_id, name) VALUES ('$id', '$tenant->{name}');\n"
		  . "SELECT FROM eiot.import_subscribed_skus('$id', pg_read_file('$folder/subscribedSkus.json')::jsonb, '2026-08-12');\n";
		$sql .= "SELECT FROM eiot.import_device_info('$_', '$id', pg_read_file('$folder/DeviceInfo.json')::jsonb);\n"
		  for @inventories;
	}
	$node->safe_psql($db, $sql);
	return;
}

# Does the SQL fail with this SQLSTATE?  Then all of what psql says about it, else ''.
sub fails
{
	my ($node, $db, $sqlstate, $sql, %params) = @_;
	my ($ret, $out, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$sql", on_error_stop => 1, %params);
	return $err if $ret == 3 && $err =~ /ERROR:  \Q$sqlstate\E:/;
	Test::More::diag("expected SQLSTATE $sqlstate, psql ended with $ret: $out$err");
	return '';
}

1;
