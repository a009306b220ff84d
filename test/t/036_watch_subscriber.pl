# Watched inventories that logical replication writes to: the copy of what is there, the rows that are applied after that, and
# TRUNCATE are counted, and flagged in the transaction that applies them.

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

# ---- rows that are applied: triggers of rows have the commit count their tenants anew

$publisher->safe_psql('d', devices('asset.device', 1, 'e', 2) . 'DELETE FROM asset.split WHERE tenant_id = asset.tenant(2)');
is(differences(), '', 'applied rows: counted');
ok(is_read_right(), 'and read');
is(flags(), '2|raised|8, 1|raised|6, 2|cleared|4', 'and flagged, where each was applied');
$subscriber->safe_psql('d', devices('asset.device', 3, 'own', 6));
is(flags(), '2|raised|8, 1|raised|6, 2|cleared|4, 3|raised|6', 'beside what is written here');
$publisher->safe_psql('d', q{
	BEGIN;
	SAVEPOINT s;
	DELETE FROM asset.device WHERE device_id = 'd1';
	ROLLBACK TO s;
	UPDATE asset.device SET tenant_id = asset.tenant(2), device_id = 'moved' WHERE tenant_id = asset.tenant(1) AND device_id = 'd1';
	UPDATE asset.device SET excluded = true WHERE tenant_id = asset.tenant(2) AND device_id IN ('d1', 'd2');
	COMMIT});
is(differences(), '', 'a device that moves, others that are excluded: counted');
is(flags(), '2|raised|8, 1|raised|6, 2|cleared|4, 3|raised|6, 1|cleared|5', 'and flagged');
is($subscriber->safe_psql('d', q{SELECT counted FROM eiot.tenant_coverage WHERE tenant_id = asset.tenant(2)}), '3', 'each with its own tenant');

# Heartbeats of devices that count have nothing counted; those of devices that had fallen silent do.
my $kept = $subscriber->safe_psql('d', 'SELECT string_agg(xmin::text, chr(32) ORDER BY ctid) FROM eiot.live_count');
$publisher->safe_psql('d', 'UPDATE asset.device SET last_seen = clock_timestamp()');
is(differences(), '', 'heartbeats that are applied');
is($subscriber->safe_psql('d', 'SELECT string_agg(xmin::text, chr(32) ORDER BY ctid) FROM eiot.live_count'), $kept, 'have nothing counted');
$publisher->safe_psql('d', q{UPDATE asset.device SET last_seen = now() - interval '40 days' WHERE tenant_id = asset.tenant(1)});
is(differences(), '', 'devices that were seen long ago: counted');
$publisher->safe_psql('d', q{UPDATE asset.device SET last_seen = now() WHERE tenant_id = asset.tenant(1) AND device_id <> 'd2'});
is(differences(), '', 'and some that are seen again');
is($subscriber->safe_psql('d', q{SELECT counted FROM eiot.tenant_coverage WHERE tenant_id = asset.tenant(1)}), '4', 'they count');

# In a session of its own, session_replication_role = replica counts what statements change, and once.
$kept = $subscriber->safe_psql('d', 'SELECT string_agg(xmin::text, chr(32) ORDER BY ctid) FROM eiot.live_count');
$subscriber->safe_psql('d', 'SET session_replication_role = replica;' . devices('asset.split', 3, 'replica', 2));
is(differences(), '', 'replica: counted');
is($subscriber->safe_psql('d', 'SELECT string_agg(xmin::text, chr(32) ORDER BY ctid) FROM eiot.live_count'), $kept, 'by the statement');

# A partition that comes has the trigger, one that goes has not.
$subscriber->safe_psql('d', 'ALTER TABLE asset.split DETACH PARTITION asset.split_p1');
is($subscriber->safe_psql('d', q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'asset.split_p1'::regclass AND tgname LIKE 'eiot_watch%'}), '0', 'detached');
$subscriber->safe_psql('d', 'ALTER TABLE asset.split ATTACH PARTITION asset.split_p1 FOR VALUES WITH (MODULUS 3, REMAINDER 1)');
$publisher->safe_psql('d', devices('asset.split', 2, 'p', 30));
is(differences(), '', 'a partition that went and came back: counted');
$publisher->safe_psql('d', q{DELETE FROM asset.split WHERE device_id LIKE 'p%'});
is(differences(), '', 'and what is deleted there');

# ---- TRUNCATE fires its trigger

my $flags_before = flags();
$publisher->safe_psql('d', 'TRUNCATE asset.device');
is(differences(), '', 'TRUNCATE that is applied: counted');
ok(is_read_right(), 'and read');
is(flags(), "$flags_before, 3|cleared|2", 'and flagged, by the apply worker');

# ---- licenses that are applied

$publisher->safe_psql('d', devices('asset.split', 1, 't', 4));
$publisher->wait_for_catchup('inventories');
$subscriber->safe_psql('d', 'DELETE FROM eiot.entitlement');
like(flags(), qr/1\|raised\|4/, 'licenses that go here');
$publisher->safe_psql('d', q{
	ALTER PUBLICATION inventories ADD TABLE eiot.entitlement;
	DELETE FROM eiot.entitlement WHERE tenant_id <> asset.tenant(1)});
$subscriber->safe_psql('d', 'ALTER SUBSCRIPTION inventories REFRESH PUBLICATION');
$subscriber->wait_for_subscription_sync($publisher, 'inventories', 'd');
is(flags() =~ s/.*, //r, '1|cleared|4', 'licenses that are copied');
$publisher->safe_psql('d', 'UPDATE eiot.entitlement SET units = 3');
$publisher->wait_for_catchup('inventories');
is(flags() =~ s/.*, //r, '1|raised|4', 'licenses that are applied');
$publisher->safe_psql('d', q{DELETE FROM asset.split WHERE device_id = 't1'});
$publisher->wait_for_catchup('inventories');
is(flags() =~ s/.*, //r, '1|cleared|3', 'a device that goes');
$publisher->safe_psql('d', 'DELETE FROM eiot.entitlement');
$publisher->wait_for_catchup('inventories');
is(flags() =~ s/.*, //r, '1|raised|3', 'and licenses');
is(differences(), '', 'counted to the end');

$subscriber->safe_psql('d', 'DROP SUBSCRIPTION inventories');
is($subscriber->safe_psql('d', q{
		SELECT eiot.unwatch('asset.device'), eiot.unwatch('asset.split') \g /dev/null
		SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'eiot_watch%'}), '0', 'no trigger is left');
$subscriber->stop;
$publisher->stop;
done_testing();
