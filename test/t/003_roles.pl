# Who may do what, and the setting that everybody may change for himself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('roles');
my $data = data_dir();
my %id = map { $_->{folder} => $_->{tenant_id} } tenants();

$node->safe_psql('postgres', q{
CREATE DATABASE d;
CREATE ROLE nobody_special LOGIN;
CREATE ROLE reporter LOGIN;
CREATE ROLE importer LOGIN;
});
$node->safe_psql('d', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
});
load_exports($node, 'd', 'asset.device');

sub as { my ($role) = @_; return (extra_params => [ '-U', $role ]); }

# ---- a role that nobody gave anything

is($node->safe_psql('d', q{
		SET search_path = eiot;
		SELECT eiot.classify('IoT', NULL, NULL, NULL), eiot.unlimited(), eiot.round_devices(1204), eiot.count_warning_units();
		SELECT eiot.count_reason('iot', 'Onboarded', now(), now(), '30 days', NULL, false, false, NULL);
		SELECT eiot.counts(eiot.count_key('iot', NULL, NULL, false, false, NULL), now(),
		                   eiot.counted_keys('{iot}', false, false), eiot.active_since(now(), '30 days'));
		SELECT eiot.gap('1204/1200'), eiot.surplus('5/7'), eiot.utilization('1/2') = 0.5, '1/2'::eiot.coverage = eiot.coverage(1, 2),
		       '1/2'::eiot.coverage + '3/4', eiot.devices('1/2'), eiot.capacity('1/2');
		SELECT eiot.coverage_gap(i > 3, 5), eiot.coverage_agg(true, 5), eiot.coverage_gap(eiot.coverage(i, 1)),
		       eiot.coverage_agg(eiot.coverage(i, 1)), eiot.coverage_merge(eiot.coverage(i, 1)) FROM generate_series(1, 10) i;
		SELECT eiot.coverage_gap(true, 2) OVER (ORDER BY i ROWS 2 PRECEDING) FROM generate_series(1, 4) i;
		SELECT count(*) FROM (SELECT DISTINCT eiot.coverage(i % 2, 1) FROM generate_series(1, 10) i) s;
	}, as('nobody_special')), join("\n", 'iot|9223372036854775807|1200|t', 'managed', 't', '4|2|t|t|4/6|1|2',
		'2|10/5|45|55/10|55/1', 0, 0, 1, 1, 2),
	'anybody may call the pure functions, operators and aggregates');

my @relations = split /\n/, $node->safe_psql('d', q{
	SELECT oid::regclass FROM pg_class WHERE relnamespace = 'eiot'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY 1});
cmp_ok(scalar @relations, '>=', 7, 'there are tables');
is(join(' ', grep { fails($node, 'd', '42501', "SELECT FROM $_", as('nobody_special')) eq '' } @relations), '', 'nobody reads them unasked');
is($node->safe_psql('d', q{
		SELECT string_agg(c.oid::regclass || ' ' || p, ', ')
		  FROM pg_class c CROSS JOIN unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
		 WHERE c.relnamespace = 'eiot'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
		   AND has_table_privilege('nobody_special', c.oid, p)}), '', 'nor writes them');

my %forbidden = (
	'reading entitlements' => "SELECT eiot.capacity_at('$id{fabrikam}', now())",
	'reading all of them' => 'SELECT FROM eiot.licensed_capacity(now())',
	'reading the rules' => 'SELECT eiot.counting_rule_at(now())',
	'reading devices' => 'SELECT FROM asset.device',
	'reading the view' => 'SELECT FROM asset.device_coverage',
	'coverage at an instant' => "SELECT FROM eiot.coverage_at((SELECT oid FROM pg_class WHERE relname = 'device'))",
	'explaining' => "SELECT FROM eiot.explain_count((SELECT oid FROM pg_class WHERE relname = 'device'), '$id{fabrikam}')",
	'importing licenses' => "SELECT FROM eiot.import_subscribed_skus('$id{fabrikam}', '[]')",
	'importing devices' =>
	  "SELECT FROM eiot.import_device_info((SELECT oid FROM pg_class WHERE relname = 'device'), '$id{fabrikam}', '[]')",
	'releasing an inventory' => "SELECT eiot.release_inventory((SELECT oid FROM pg_class WHERE relname = 'device'))",
	'making something in eiot' => 'CREATE TABLE eiot.t ()',
	'making an inventory in eiot' => q{SELECT eiot.create_inventory('eiot.mine')},
	'making an inventory' => q{SELECT eiot.create_inventory('asset.mine')});
isnt(fails($node, 'd', '42501', $forbidden{$_}, as('nobody_special')), '', "forbidden: $_") for sort keys %forbidden;

# The reference to eiot.tenant tells whether a tenant is there, so it has to be granted.
$node->safe_psql('d', 'CREATE SCHEMA own AUTHORIZATION nobody_special');
like(fails($node, 'd', '42501', q{SELECT eiot.create_inventory('own.device')}, as('nobody_special')),
	qr/permission denied for table tenant/, 'a schema of their own is not enough for an inventory');

# ---- reading alone

# Views are read with the rights of who asks, and rows are shown to who has access to their tenants.
$node->safe_psql('d', q{
CREATE ROLE viewer LOGIN;
GRANT USAGE ON SCHEMA asset TO viewer;
GRANT SELECT ON asset.device_coverage, eiot.capacity TO viewer;
});
isnt(fails($node, 'd', '42501', $_, as('viewer')), '', "not enough for: $_")
  for 'SELECT FROM asset.device_coverage', 'SELECT FROM eiot.capacity', 'SELECT FROM asset.device', 'SELECT FROM eiot.tenant',
  "SELECT eiot.capacity_at('$id{fabrikam}', now())";

$node->safe_psql('d', q{
GRANT USAGE ON SCHEMA asset TO reporter;
GRANT SELECT ON ALL TABLES IN SCHEMA eiot, asset TO reporter;
});
is($node->safe_psql('d', qq{
		SELECT count(*) FROM eiot.coverage_at('asset.device', '2026-08-12');
		SELECT count(*) FROM asset.device_coverage;
		SELECT count(*) FROM asset.device;
		SELECT count(*) FROM eiot.capacity;
		SELECT eiot.capacity_at('$id{fabrikam}', '2026-08-12');
	}, as('reporter')), "0\n0\n0\n0\n0", 'with rights on all tables but no access to any tenant nothing is seen');
like(fails($node, 'd', '23503', "SELECT FROM eiot.explain_count('asset.device', '$id{proseware}')", as('reporter')),
	qr/HINT:  Or it does, and you have no access to it\./, 'and a tenant is as if it were not there');

$node->safe_psql('d', q{SELECT eiot.grant_access('reporter', 'reader')});
is($node->safe_psql('d', qq{
		SELECT gap FROM eiot.coverage_at('asset.device', '2026-08-12') WHERE tenant = 'Fabrikam';
		SELECT count(*) FROM asset.device_coverage;
		SELECT sum(devices) FROM eiot.explain_count('asset.device', '$id{proseware}', '2026-08-12');
		SELECT capacity FROM eiot.capacity WHERE tenant_id = '$id{fabrikam}';
	}, as('reporter')), "4\n8\n71\n1200", 'a reader of all tenants reports on them');
isnt(fails($node, 'd', '42501', $_, as('reporter')), '', "not enough to write: $_")
  for 'UPDATE eiot.sku SET devices_per_unit = 1', "SELECT FROM eiot.import_subscribed_skus('$id{fabrikam}', '[]')",
  "SELECT FROM eiot.import_device_info('asset.device', '$id{fabrikam}', '[]')";

# ---- the whole job, without being superuser or owner

$node->safe_psql('d', q{
SELECT eiot.grant_access('importer', 'manager');
GRANT REFERENCES ON eiot.tenant TO importer;
CREATE SCHEMA plant;
GRANT USAGE, CREATE ON SCHEMA plant TO importer;
});
is($node->safe_psql('d', qq{
		SET search_path = plant;
		SELECT eiot.create_inventory('device');
		SELECT eiot.create_inventory('plant.split', 2);
		INSERT INTO eiot.tenant VALUES ('00000000-0000-4000-8000-000000000001', 'New');
		\\set body `cat '$data/litware/subscribedSkus.json'`
		SELECT count(*) FROM eiot.import_subscribed_skus('00000000-0000-4000-8000-000000000001', :'body', '2026-08-12');
		\\set body `cat '$data/fabrikam/subscribedSkus.json'`
		SELECT count(*) FROM eiot.import_subscribed_skus('00000000-0000-4000-8000-000000000001', :'body', '2026-08-13');
		\\set body `cat '$data/proseware/DeviceInfo.json'`
		SELECT * FROM eiot.import_device_info('device', '00000000-0000-4000-8000-000000000001', :'body');
		SELECT stored FROM eiot.import_device_info('split', '00000000-0000-4000-8000-000000000001', :'body');
		\\set body `cat '$data/bad/DeviceInfo-mixed.json'`
		SELECT rejected FROM eiot.import_device_info('device', '00000000-0000-4000-8000-000000000001', :'body', on_error => 'reject');
		SELECT count(*), min(rejected_by) FROM eiot.import_reject;
		UPDATE eiot.counting_rule SET valid = '[2026-07-02,2026-08-01)' WHERE name = '2026-07';
		INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after) VALUES ('ours', '[2026-08-01,)', '{iot}', '60 days');
		UPDATE eiot.tenant SET counting_rule = '2026-07' WHERE tenant_id = '00000000-0000-4000-8000-000000000001';
		UPDATE eiot.sku SET devices_per_unit = 6 WHERE part_number = 'SPE_E5';
		INSERT INTO eiot.entitlement (tenant_id, sku_id, units) VALUES
		  ('00000000-0000-4000-8000-000000000001', 'b2f91841-252f-4765-94c3-75802d7c0ddb', 7);
		SELECT DISTINCT recorded_by FROM eiot.entitlement WHERE tenant_id = '00000000-0000-4000-8000-000000000001';
		SELECT c.devices, c.counted = e.devices, c.capacity
		  FROM eiot.coverage_at('device', '2026-08-14') c
		  JOIN eiot.explain_count('device', '00000000-0000-4000-8000-000000000001', '2026-08-14') e ON e.reason = 'counted'
		 WHERE c.tenant = 'New';
		SELECT eiot.capacity_at('00000000-0000-4000-8000-000000000001', now());
		SELECT sum(devices) FROM eiot.explain_count('device', '00000000-0000-4000-8000-000000000001', '2026-08-14');
		SELECT count(*) FROM device_coverage;
		SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ',') FROM pg_class WHERE relnamespace = 'plant'::regnamespace;
		SELECT eiot.release_inventory('split');
		SELECT count(*) FROM split;
		DROP VIEW device_coverage;
		DROP TABLE device, split;
		DELETE FROM eiot.import_reject;
		DELETE FROM eiot.entitlement WHERE tenant_id = '00000000-0000-4000-8000-000000000001';
		DELETE FROM eiot.tenant WHERE tenant_id = '00000000-0000-4000-8000-000000000001';
	}, as('importer')), join("\n", 'device', 'split', 4, 5, '74|71|71|0', 71, 4, '4|importer', 'importer', '74|t|1440', 1447, 74, 9,
		'importer', '', 71),
	'with the documented grants a role does the whole job');
isnt(fails($node, 'd', $_->[0], $_->[1], as('importer')), '', "and no more: $_->[1]")
  for [ '42501', 'ALTER TABLE eiot.sku ADD x int' ], [ '42501', 'TRUNCATE eiot.entitlement' ],
  [ '42501', 'CREATE FUNCTION eiot.f() RETURNS int RETURN 1' ], [ '42501', 'DROP EXTENSION eiot' ],
  [ '42501', "SELECT FROM eiot.import_device_info('asset.device', '$id{fabrikam}', '[]')" ];

# ---- eiot.count_warning_units

$node->safe_psql('d', q{
SELECT eiot.grant_access('nobody_special', 'reader');
UPDATE eiot.sku SET devices_per_unit = 5 WHERE part_number = 'SPE_E5';
});
my $capacity = "SELECT eiot.capacity_at('$id{litware}', '2026-08-12')";
my ($with, $without) = (3025, 1525);

is($node->safe_psql('d', $capacity, as('nobody_special')), $with, 'units in warning count');
is($node->safe_psql('d', "SET eiot.count_warning_units = off; $capacity", as('nobody_special')), $without, 'set before the library is there');
is($node->safe_psql('d', "$capacity; SET eiot.count_warning_units = off; $capacity; RESET eiot.count_warning_units; $capacity",
		as('nobody_special')), "$with\n$without\n$with", 'and after');
is($node->safe_psql('d', "BEGIN; SET LOCAL eiot.count_warning_units = off; $capacity; ROLLBACK; $capacity", as('nobody_special')),
	"$without\n$with", 'for a transaction');
is($node->safe_psql('d', qq{
		SELECT eiot.count_warning_units();
		PREPARE p AS $capacity;
		EXECUTE p; EXECUTE p; EXECUTE p; EXECUTE p; EXECUTE p; EXECUTE p;
		SET eiot.count_warning_units = off;
		EXECUTE p;
	}, as('nobody_special')), join("\n", 't', ($with) x 6, $without), 'a prepared plan follows it');

# force_parallel_mode got a better name in 16.
my $debug_parallel = $node->safe_psql('d', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
my $parallel = "SET $debug_parallel = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0";
my $worker = 'SELECT eiot.count_warning_units() FROM eiot.tenant LIMIT 1';
like($node->safe_psql('d', "$parallel; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) $worker"), qr/Workers Launched: [1-9]/, 'a parallel plan');
is($node->safe_psql('d', "$parallel; $worker; $capacity", as('nobody_special')), "t\n$with", 'in a parallel worker');
is($node->safe_psql('d', "$parallel; SET eiot.count_warning_units = off; $worker; $capacity; SET eiot.count_warning_units = on; $worker; $capacity",
		as('nobody_special')), "f\n$without\nt\n$with", 'which has the setting of its leader');

for my $where ('ROLE nobody_special', 'DATABASE d', 'ROLE nobody_special IN DATABASE d')
{
	$node->safe_psql('d', "ALTER $where SET eiot.count_warning_units = off");
	is($node->safe_psql('d', $capacity, as('nobody_special')), $without, "set by ALTER $where");
	is($node->safe_psql('d', "$parallel; $worker; $capacity", as('nobody_special')), "f\n$without", "and in its parallel workers");
	$node->safe_psql('d', "ALTER $where RESET eiot.count_warning_units");
}
# PostgreSQL lets only superusers store a setting that no library has made known to the session.
$node->safe_psql('d', 'SELECT eiot.count_warning_units(); ALTER ROLE nobody_special SET eiot.count_warning_units = off',
	as('nobody_special'));
is($node->safe_psql('d', $capacity, as('nobody_special')), $without, 'a role may set it for itself');
is($node->safe_psql('d', $capacity), $with, 'and for nobody else');

like(fails($node, 'd', '22023', 'SELECT eiot.count_warning_units(); SET eiot.count_warning_units = maybe'),
	qr/requires a Boolean value/, 'it is a Boolean');
my ($ret, $out, $err) = $node->psql('d', 'SET eiot.count_warning_units = maybe; SELECT eiot.count_warning_units()');
is("$ret $out", '0 t', 'what is none, set before the library is there, gives way to the default');
like($err, qr/WARNING:  invalid value for parameter "eiot\.count_warning_units"|requires a Boolean value/, 'with a warning');
like(fails($node, 'd', '42602', 'SELECT eiot.count_warning_units(); SET eiot.count_warnings = off'),
	qr/invalid configuration parameter name "eiot\.count_warnings"/, 'an unknown setting is refused');
($ret, $out, $err) = $node->psql('d', 'SET eiot.count_warnings = off; SELECT eiot.count_warning_units()');
like($err, qr/WARNING:  invalid configuration parameter name "eiot\.count_warnings", removing it/, 'or removed');

$node->stop;
done_testing();
