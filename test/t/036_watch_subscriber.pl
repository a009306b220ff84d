# Watched inventories that logical replication writes to: the copy of what is there and TRUNCATE are counted, the rows that
# are applied after that are not, until somebody has them counted anew.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use WatchSessions;

my $publisher = new_cluster('publisher', 'wal_level = logical', 'max_wal_senders = 5', 'max_replication_slots = 5');
my $subscriber = new_cluster('subscriber', 'max_replication_slots = 5', 'max_logical_replication_workers = 4');
for my $node ($publisher, $subscriber)
{
	$node->safe_psql('postgres', 'CREATE DATABASE d');
	$node->safe_psql('d', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
	watch_two_inventories($node, 'd', 3, 5);
}

sub devices
{
	my ($table, $tenant, $prefix, $n) = @_;
	return "INSERT INTO $table (tenant_id, device_id, category, last_seen) SELECT asset.tenant($tenant), '$prefix' || i, 'IoT', now() FROM generate_series(1, $n) i;";
}

# Waits until the subscriber has all, and returns where its kept counts differ.
sub differences
{
	$publisher->wait_for_catchup('inventories');
	return $subscriber->safe_psql('d', q{
		SELECT right(c.tenant_id::text, 1), i.inventory, c.figure, c.live, c.recounted
		  FROM eiot.watched_inventory i CROSS JOIN LATERAL eiot.check_watch(i.inventory) c ORDER BY i.inventory::text, 1, 3});
}

# Does the view say what the inventories say?
sub is_read_right
{
	return $subscriber->safe_psql('d', q{
		SELECT count(*) = 0 FROM eiot.tenant_coverage c
		  JOIN (SELECT tenant_id, sum(devices) AS devices, sum(counted) AS counted
		          FROM (TABLE asset.device_coverage UNION ALL TABLE asset.split_coverage) v GROUP BY 1) n USING (tenant_id)
		 WHERE (c.devices, c.counted) IS DISTINCT FROM (n.devices, n.counted)}) eq 't';
}

sub flags
{
	return $subscriber->safe_psql('d',
		q{SELECT right(tenant_id::text, 1), kind, devices FROM eiot.flag_event ORDER BY at, tenant_id}) =~ s/\n/, /gr;
}

# ---- the initial copy: COPY fires the triggers, which fire always

$publisher->safe_psql('d', devices('asset.device', 1, 'd', 4) . devices('asset.device', 2, 'd', 4) . devices('asset.split', 2, 's', 4)
	  . 'CREATE PUBLICATION inventories FOR TABLE asset.device, asset.split WITH (publish_via_partition_root = true)');
my $connection = $publisher->connstr . ' dbname=d';
$subscriber->safe_psql('d', "CREATE SUBSCRIPTION inventories CONNECTION '$connection' PUBLICATION inventories");
$subscriber->wait_for_subscription_sync($publisher, 'inventories', 'd');
is(differences(), '', 'initial copy: counted');
ok(is_read_right(), 'and read');
is(flags(), '2|raised|8', 'and flagged');

# ---- rows that are applied: no statement trigger fires

$publisher->safe_psql('d', devices('asset.device', 1, 'e', 2) . 'DELETE FROM asset.split WHERE tenant_id = asset.tenant(2)');
is(differences(), join("\n", '1|asset.device|counted|4|6', '1|asset.device|devices|4|6', '2|asset.split|counted|4|0', '2|asset.split|devices|4|0'),
	'applied rows are not counted');
ok(!is_read_right(), 'nor read');
is($subscriber->safe_psql('d', 'SELECT eiot.refresh()'), '0', 'nor found by refresh');
$subscriber->safe_psql('d', devices('asset.device', 3, 'own', 6));
is(flags(), '2|raised|8, 3|raised|6', 'what is written here is');
$subscriber->safe_psql('d', q{SELECT eiot.recount('asset.device')});
is(flags(), '2|raised|8, 3|raised|6, 1|raised|6', 'recount: flagged, for the inventory that is named');
is(differences(), join("\n", '2|asset.split|counted|4|0', '2|asset.split|devices|4|0'), 'and counted');
$subscriber->safe_psql('d', q{SELECT eiot.recount(i.inventory) FROM eiot.watched_inventory i});
is(flags(), '2|raised|8, 3|raised|6, 1|raised|6, 2|cleared|4', 'recount of all that is watched: flagged');
is(differences(), '', 'and counted');
ok(is_read_right(), 'and read');

# ---- heartbeats change no count; a row that is applied beside those written here is not counted twice

$publisher->safe_psql('d', 'UPDATE asset.device SET last_seen = clock_timestamp()');
is(differences(), '', 'heartbeats that are applied change nothing');
$publisher->safe_psql('d', devices('asset.device', 2, 'f', 3));
$publisher->wait_for_catchup('inventories');
$subscriber->safe_psql('d', "UPDATE asset.device SET excluded = true WHERE tenant_id = asset.tenant(2) AND device_id IN ('f1', 'd1')");
is(differences(), join("\n", '2|asset.device|counted|2|5', '2|asset.device|devices|4|7'), 'counted by what each statement here changes');
$subscriber->safe_psql('d', q{SELECT eiot.recount('asset.device')});
is(differences(), '', 'recount');

# ---- TRUNCATE fires its trigger

$publisher->safe_psql('d', 'TRUNCATE asset.device');
is(differences(), '', 'TRUNCATE that is applied: counted');
ok(is_read_right(), 'and read');
is(flags(), '2|raised|8, 3|raised|6, 1|raised|6, 2|cleared|4, 1|cleared|0, 3|cleared|0', 'and flagged, by the apply worker');

# ---- licenses that are applied

$publisher->safe_psql('d', devices('asset.split', 1, 't', 4));
$publisher->wait_for_catchup('inventories');
$subscriber->safe_psql('d', q{SELECT eiot.recount('asset.split'); DELETE FROM eiot.entitlement});
is(flags() =~ s/.*, //r, '1|raised|4', 'licenses that go here');
$publisher->safe_psql('d', q{
	ALTER PUBLICATION inventories ADD TABLE eiot.entitlement;
	DELETE FROM eiot.entitlement WHERE tenant_id <> asset.tenant(1)});
$subscriber->safe_psql('d', 'ALTER SUBSCRIPTION inventories REFRESH PUBLICATION');
$subscriber->wait_for_subscription_sync($publisher, 'inventories', 'd');
is(flags() =~ s/.*, //r, '1|cleared|4', 'licenses that are copied are seen to');
$publisher->safe_psql('d', 'UPDATE eiot.entitlement SET units = 3');
$publisher->wait_for_catchup('inventories');
is(flags() =~ s/.*, //r, '1|cleared|4', 'licenses that are applied are not');
$subscriber->safe_psql('d', q{SELECT eiot.recount('asset.split')});
is(flags() =~ s/.*, //r, '1|raised|4', 'until a recount');

$subscriber->safe_psql('d', 'DROP SUBSCRIPTION inventories');
$subscriber->stop;
$publisher->stop;
done_testing();
