# Devices fall silent without a row changing. How many of those that the kept counts count have done so by now, or will have by
# some time, is looked for in the index of the watch; where that cannot tell, tenant_coverage is right all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;
use WatchSessions;

my $node = new_cluster('silence', 'autovacuum = off');
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
watch_two_inventories($node, 'd', 8, 100);

# Some before the counts are made, some after, and older than those; a table that knows no time; some that do not count.
$node->safe_psql('d', q{
CREATE TABLE asset.timeless (owner uuid, kind eiot.device_class);
INSERT INTO asset.timeless SELECT asset.tenant(i % 8 + 1), 'iot' FROM generate_series(1, 20) i;
SELECT eiot.watch('asset.timeless', 'owner', NULL, 'kind');
SELECT setseed(0.5);
INSERT INTO asset.device (tenant_id, device_id, category, last_seen)
SELECT asset.tenant(i % 8 + 1), 'a' || i, CASE WHEN i % 3 = 0 THEN 'Endpoint' ELSE 'IoT' END,
       CASE WHEN i % 11 > 0 THEN now() - random() * interval '35 days' END FROM generate_series(1, 400) i;
SELECT eiot.recount('asset.device')});
$node->safe_psql('d', qq{
INSERT INTO asset.$_ (tenant_id, device_id, category, last_seen)
SELECT asset.tenant(i % 7 + 1), 'b' || i, 'IoT', now() - interval '30 days' + random() ^ 2 * interval '20 days' FROM generate_series(1, 150) i}) for qw(device split);
$node->safe_psql('d', q{INSERT INTO asset.split (tenant_id, device_id, category, last_seen)
	VALUES (asset.tenant(8), 'first to go', 'IoT', now() - interval '30 days' + interval '1 hour')});

my $kept = q{(SELECT sum(c.counted + COALESCE((SELECT sum(d.counted) FROM eiot.live_delta d WHERE (d.tenant_id, d.watch_id) = (c.tenant_id, c.watch_id)), 0))
	FROM eiot.live_count c WHERE c.tenant_id = t.tenant_id)};
my $by_hand = q{(SELECT count(*) FROM (SELECT tenant_id, count_key, last_seen FROM asset.device UNION ALL SELECT tenant_id, count_key, last_seen FROM asset.split
	                                  UNION ALL SELECT owner, eiot.count_key(kind, NULL, NULL, NULL, NULL, NULL), NULL FROM asset.timeless) d
	JOIN eiot.counting_rule r ON r.valid @> current_date
	WHERE d.tenant_id = t.tenant_id AND r.counted_keys >> d.count_key & 1 = 1 AND (d.last_seen IS NULL OR d.last_seen + r.inactive_after >= as_of))};
my $moments = q{(VALUES (now()), (now() + '59 min'), (now() + '61 min'), (now() + '1 day'), (now() + '7 days'), (now() + '25 days'), (now() + '60 days')) m(as_of)};
is($node->safe_psql('d', "SELECT t.name, as_of, $kept, eiot.silent_now(t.tenant_id, as_of), $by_hand FROM eiot.tenant t, $moments
	WHERE eiot.silent_now(t.tenant_id, as_of) IS DISTINCT FROM $kept - $by_hand ORDER BY 1, 2"), '', 'as by hand, for eight tenants and seven instants');
is($node->safe_psql('d', "SELECT min(n), max(n) > 40 FROM (SELECT eiot.silent_now(t.tenant_id, as_of) AS n FROM eiot.tenant t, $moments) s"), '0|t', 'none, and many');
is($node->safe_psql('d', q{SELECT eiot.silent_now(asset.tenant(8), now() + '61 min') - eiot.silent_now(asset.tenant(8), now() + '59 min') > 0}), 't', 'one goes in between');

is($node->safe_psql('d', q{BEGIN;
	INSERT INTO asset.split (tenant_id, device_id, category, last_seen) VALUES (asset.tenant(8), 'not committed', 'IoT', now() - interval '30 days' + interval '10 min');
	SELECT eiot.silent_now(asset.tenant(8), now() + '9 min'), eiot.silent_now(asset.tenant(8), now() + '11 min');
	ROLLBACK}), '0|1', 'and one that this transaction brought');

# tenant_coverage at those instants, as far as they are the present.
my $wrong = q{
	SELECT c.tenant, c.counted, c.devices, v.counted, v.devices FROM eiot.tenant_coverage c
	  JOIN (SELECT tenant_id, sum(counted) AS counted, sum(devices) AS devices
	          FROM (SELECT tenant_id, counted, devices FROM asset.device_coverage UNION ALL SELECT tenant_id, counted, devices FROM asset.split_coverage
	                UNION ALL SELECT owner, count(*), count(*) FROM asset.timeless GROUP BY owner) v GROUP BY 1) v USING (tenant_id)
	 WHERE (c.counted, c.devices) IS DISTINCT FROM (v.counted, v.devices)};
my $looked = q{SELECT count(*) > 0 FROM eiot.tenant t WHERE eiot.silent_now(t.tenant_id, now()) > 0};
for my $table (qw(device split))
{
	# without the triggers' knowledge: they are silent a second from now
	$node->safe_psql('d', qq{INSERT INTO asset.$table (tenant_id, device_id, category, last_seen)
		SELECT asset.tenant(i % 5 + 1), 'soon' || i, 'IoT', now() - interval '30 days' + interval '0.5 s' FROM generate_series(1, 20) i});
	ok($node->poll_query_until('d', $looked), "devices of $table have fallen silent");
	is($node->safe_psql('d', $wrong), '', 'and tenant_coverage knows');
	is($node->safe_psql('d', "BEGIN ISOLATION LEVEL SERIALIZABLE; $wrong; COMMIT"), '', 'in a serializable transaction as well');
	is($node->safe_psql('d', $looked), 't', 'though nobody has counted them anew');
}

# Where it does not tell.
is($node->safe_psql('d', q{SELECT count(eiot.silent_now(t.tenant_id, now() - interval '1 day')) FROM eiot.tenant t}), '0', 'not for an instant before the counts');
is($node->safe_psql('d', q{SELECT eiot.silent_now(NULL, now()), eiot.silent_now(asset.tenant(1), NULL), eiot.silent_now(asset.tenant(99), now())}), '||0', 'null of null, none of a tenant that is not there');
$node->safe_psql('d', q{
CREATE ROLE reader;
GRANT USAGE ON SCHEMA asset TO reader;
GRANT SELECT ON asset.timeless TO reader;
SELECT eiot.grant_inventory('asset.device', 'reader'), eiot.grant_inventory('asset.split', 'reader');
SELECT eiot.grant_access('reader', 'reader', asset.tenant(i)) FROM generate_series(1, 3) i});
is($node->safe_psql('d', q{SET ROLE reader; SELECT count(*), count(eiot.silent_now(t.tenant_id, now())) FROM eiot.tenant t}), '3|0', 'not for who sees some tenants only');
is($node->safe_psql('d', "SET ROLE reader; $wrong"), '', 'and tenant_coverage does without');
# The index was made for the keys of another rule.
$node->safe_psql('d', q{INSERT INTO eiot.counting_rule (name, counted_classes, inactive_after) SELECT 'more', enum_range(NULL::eiot.device_class), inactive_after FROM eiot.counting_rule WHERE valid @> current_date;
	UPDATE eiot.tenant SET counting_rule = 'more' WHERE tenant_id = asset.tenant(3)});
is($node->safe_psql('d', q{SELECT t.name FROM eiot.tenant t WHERE eiot.silent_now(t.tenant_id, now() + interval '10 days') IS NULL}), 'Tenant 3', 'not where the index has not all that counts');
is($node->safe_psql('d', $wrong), '', 'nor does tenant_coverage need that');

$node->stop;
done_testing();
