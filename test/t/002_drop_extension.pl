# Coming and going: what CREATE EXTENSION needs, what DROP EXTENSION refuses, and what stays when it is gone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('drop');

# ---- coming

$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(lacking taken script main);

my $error = fails($node, 'lacking', '42704', 'CREATE EXTENSION eiot');
like($error, qr/required extension "btree_gist" is not installed/, 'without btree_gist: PostgreSQL says so');
like($error, qr/HINT:  Use CREATE EXTENSION \.\.\. CASCADE/, 'and what to do');
is($node->safe_psql('lacking', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'eiot'}), '0', 'and nothing is made');
$node->safe_psql('lacking', 'CREATE EXTENSION btree_gist; CREATE EXTENSION eiot');
is($node->safe_psql('lacking', q{SELECT extrelocatable, extversion <> '' FROM pg_extension WHERE extname = 'eiot'}),
	'f|t', 'with it, no CASCADE is needed');
like(fails($node, 'lacking', '0A000', 'CREATE SCHEMA elsewhere; ALTER EXTENSION eiot SET SCHEMA elsewhere'),
	qr/does not support SET SCHEMA/, 'it stays in its schema');

$node->safe_psql('taken', 'CREATE SCHEMA eiot; CREATE TABLE eiot.sku (mine int)');
like(fails($node, 'taken', '42P06', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE'),
	qr/schema "eiot" already exists/, 'a schema eiot of somebody else is not moved into');
is($node->safe_psql('taken', q{
		SELECT count(*) FROM pg_class WHERE relnamespace = 'eiot'::regnamespace;
		SELECT count(*) FROM pg_extension WHERE extname IN ('eiot', 'btree_gist')}),
	"1\n0", 'and stays as it was');

# Else DROP SCHEMA … CASCADE of the schema that happened to come first would take all licenses along.
$node->safe_psql('postgres', 'CREATE DATABASE first');
$node->safe_psql('first', q{
SET client_min_messages = warning;
CREATE EXTENSION btree_gist;
CREATE SCHEMA asset;
SET search_path = asset, public;
CREATE EXTENSION eiot;
INSERT INTO eiot.tenant VALUES ('00000000-0000-4000-8000-000000000001', 'One');
});
$node->psql('first', 'SET client_min_messages = warning; DROP SCHEMA asset CASCADE');
is($node->safe_psql('first', q{SELECT count(*) FROM pg_extension WHERE extname = 'eiot'}), '1',
	'the extension does not belong to the first schema of the search_path');

my $sharedir = $node->safe_psql('postgres', q{SELECT setting FROM pg_config() WHERE name = 'SHAREDIR'});
my $version = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'eiot'});
my ($ret, $out, $err) =
  $node->psql('script', '', extra_params => [ '-f', "$sharedir/extension/eiot--$version.sql" ]);
is($ret, 0, 'the script in psql ends');
like("$out$err", qr/^Use "CREATE EXTENSION eiot CASCADE" to load this file\.$/, 'with the hint and nothing else');
is($node->safe_psql('script', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'eiot'}), '0', 'and makes nothing');

# ---- going

$node->safe_psql('main', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
SELECT eiot.create_inventory('asset."Device, split"', 3);
});
load_exports($node, 'main', 'asset.device', 'asset."Device, split"');
$node->safe_psql('main', q{
UPDATE asset.device SET class_override = 'medical' WHERE device_id LIKE '%7';
UPDATE asset."Device, split" SET identified_class = 'bms' WHERE device_id LIKE '%3';
});

my $devices = q{
SELECT count(*), count(DISTINCT class::text) > 3, md5(string_agg(d::text, E'\n' ORDER BY tenant_id, device_id)) FROM asset.device d;
SELECT count(*), count(DISTINCT class::text) > 3, md5(string_agg(d::text, E'\n' ORDER BY tenant_id, device_id)) FROM asset."Device, split" d;
};
my $before = $node->safe_psql('main', $devices);
like($before, qr/^\d{4}\|t\|.*\n\d{4}\|t\|/, 'there are devices of several classes');

$error = fails($node, 'main', '2BP01', 'DROP EXTENSION eiot');
like($error, qr/cannot drop extension eiot because other objects depend on it/, 'DROP EXTENSION is refused');
like($error, qr/table asset\.device depends on/, 'names the inventory');
like($error, qr/HINT:  Use DROP \.\.\. CASCADE/, 'and gives the hint');
fails($node, 'main', '2BP01', 'DROP SCHEMA eiot CASCADE') =~ /extension eiot requires it/
  ? pass('nor can the schema be dropped')
  : fail('nor can the schema be dropped');

is($node->safe_psql('main', q{SELECT eiot.release_inventory('asset.device')}), '', 'one inventory is released');
isnt(fails($node, 'main', '2BP01', 'DROP EXTENSION eiot'), '', 'the other still forbids it');
is($node->safe_psql('main', q{SELECT eiot.release_inventory('asset."Device, split"')}), '', 'the partitioned one is released');
is($node->safe_psql('main', $devices), $before, 'released inventories hold what they held');
like(fails($node, 'main', '42809', q{SELECT eiot.release_inventory('eiot.tenant')}),
	qr/eiot\.tenant is not an inventory/, 'what is none is not released');

is($node->safe_psql('main', 'DROP EXTENSION eiot'), '', 'now the extension goes');
is($node->safe_psql('main', $devices), $before, 'and the devices stay');
is($node->safe_psql('main', q{
		SELECT attrelid::regclass, attname, atttypid::regtype, attgenerated = ''
		  FROM pg_attribute
		 WHERE attrelid IN ('asset.device'::regclass, 'asset."Device, split_p1"'::regclass)
		   AND attname IN ('class', 'class_override', 'identified_class', 'count_key')
		 ORDER BY 1, 2}),
	join("\n", map { my $t = $_; map { "$t|$_|" . ($_ eq 'count_key' ? 'smallint' : 'text') . '|t' }
		qw(class class_override count_key identified_class) } 'asset.device', 'asset."Device, split_p1"'),
	'with their classes as text that nothing generates');
is($node->safe_psql('main', q{
		SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class
		 WHERE relnamespace = 'asset'::regnamespace AND relkind IN ('r', 'p', 'v')}),
	'Device, split,Device, split_p0,Device, split_p1,Device, split_p2,device', 'their coverage views are gone');
is($node->safe_psql('main', q{SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'asset'::regnamespace}),
	'0', 'so are their triggers');
is($node->safe_psql('main', q{
		SELECT count(*) FROM pg_namespace WHERE nspname = 'eiot';
		SELECT count(*) FROM pg_proc WHERE probin LIKE '%eiot%'}),
	"0\n0", 'nothing of the extension is left');
is($node->safe_psql('main', q{INSERT INTO asset.device (tenant_id, device_id, class, count_key)
		VALUES ('00000000-0000-4000-8000-000000000001', 'x', 'toaster', 0) RETURNING class}),
	'toaster', 'the table is an ordinary one');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-f', $dump, 'main' ], 'it is dumped');
my @needs = grep { /\beiot\./ && !/^COMMENT ON / } split /\n/, slurp_file($dump);
is("@needs", '', 'and the dump needs no eiot');

# ---- and coming again; in one session, whose caches know the old objects

is( $node->safe_psql('main', q{
		SET client_min_messages = warning;
		CREATE EXTENSION eiot;
		SELECT eiot.classify('IoT', NULL, NULL, NULL), eiot.count_reason('iot', NULL, NULL, now(), NULL, NULL, false, false, NULL);
		CREATE TEMP TABLE was AS SELECT 'eiot.device_class'::regtype::oid AS oid;
		DROP EXTENSION eiot;
		CREATE EXTENSION eiot;
		SELECT 'eiot.device_class'::regtype::oid <> oid FROM was;
		SELECT eiot.classify('IoT', NULL, NULL, NULL), eiot.count_reason('iot', NULL, NULL, now(), NULL, NULL, false, false, NULL);
		SELECT eiot.coverage_gap(true, 0), eiot.coverage_agg('10/4'::eiot.coverage);
		SELECT count(*) > 30, bool_and(shipped) FROM eiot.sku;
		SELECT count(*), bool_and(shipped) FROM eiot.counting_rule;
		SELECT eiot.create_inventory('asset.again');
		SELECT eiot.release_inventory('asset.again');
		DROP EXTENSION eiot;
	}), join("\n", 'iot|counted', 't', 'iot|counted', '1|10/4', 't|t', '8|t', 'asset.again', ''),
	'made, dropped and made again in one session');

# CASCADE takes what depends on the extension: views, generated columns, keys - and no device.
$node->safe_psql('main', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot;
INSERT INTO eiot.tenant VALUES ('00000000-0000-4000-8000-000000000001', 'One');
SELECT eiot.create_inventory('asset.cascade');
INSERT INTO asset.cascade (tenant_id, device_id) VALUES ('00000000-0000-4000-8000-000000000001', 'x');
DROP EXTENSION eiot CASCADE;
});
is($node->safe_psql('main', q{UPDATE asset.cascade SET excluded = true; DELETE FROM asset.cascade WHERE device_id = 'y';
		SELECT count(*) FROM pg_trigger WHERE tgrelid = 'asset.cascade'::regclass}), '0', 'DROP EXTENSION CASCADE takes the triggers along');
is($node->safe_psql('main', 'SELECT tenant_id, device_id FROM asset.cascade'),
	'00000000-0000-4000-8000-000000000001|x', 'DROP EXTENSION CASCADE leaves the devices');

$node->stop;
done_testing();
