# Transactions that touch the same tenants in different orders never wait in a circle, far from the limits and at them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $tenants = 4;
my $seconds = $ENV{EIOT_LONG} ? 20 : 3;

my $node = new_cluster('deadlock', "deadlock_timeout = '50ms'");
$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', qq{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
CREATE FUNCTION asset.tenant(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
  RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
INSERT INTO eiot.tenant (tenant_id, name) SELECT asset.tenant(i), 'Tenant ' || i FROM generate_series(1, $tenants) i;
SELECT eiot.create_inventory('asset.device'), eiot.create_inventory('asset.split', 3);
SELECT eiot.watch('asset.device'), eiot.watch('asset.split');
});

# Each session has devices of its own, so that no two wait for a row: a device counts, or does not, by chance.
my $touch = "INSERT INTO %s (tenant_id, device_id, category, last_seen) VALUES (asset.tenant(:%s), 'c' || :client_id, (ARRAY['IoT', 'Network device'])[:c%d], now()) "
  . "ON CONFLICT (tenant_id, device_id) DO UPDATE SET category = EXCLUDED.category;\n";
my $script = "$PostgreSQL::Test::Utils::tmp_check/orders.sql";
append_to_file($script,
	join('', map { "\\set c$_ random(1, 2)\n" } 1 .. 4)
	  . "\\set a random(1, $tenants)\n\\set b 1 + (:a + random(0, $tenants - 2)) % $tenants\n\\set c random(1, $tenants)\nBEGIN;\n"
	  . sprintf($touch, 'asset.device', 'a', 1) . sprintf($touch, 'asset.split', 'b', 2)
	  . sprintf($touch, 'asset.device', 'c', 3) . sprintf($touch, 'asset.split', 'a', 4) . "COMMIT;\n");

for my $case ([ 'far from their limits', 1_000_000 ], [ 'at their limits', 6 ])
{
	my ($where, $units) = @$case;
	$node->safe_psql('d', qq{
		DELETE FROM eiot.entitlement;
		INSERT INTO eiot.entitlement (tenant_id, sku_id, units)
		SELECT tenant_id, 'b2f91841-252f-4765-94c3-75802d7c0ddb', $units FROM eiot.tenant});
	my ($out, $err) = run_command([ 'pgbench', '-n', '-c', '8', '-j', '2', '-T', $seconds, '-f', $script, $node->connstr('d') ]);
	my ($failed) = $out =~ /number of failed transactions: (\d+)/;
	my ($done) = $out =~ /transactions actually processed: (\d+)/;
	cmp_ok($done // 0, '>', 100, "$where: transactions over tenants in any order");
	is(($failed // '?') . $err =~ s/^pgbench \(.*\)\n//r, '0', "$where: all of them commit");
	is($node->safe_psql('d', "SELECT deadlocks FROM pg_stat_database WHERE datname = 'd'"), '0', "$where: none waits in a circle");
	is($node->safe_psql('d', "SELECT count(*) FROM (VALUES ('asset.device'::regclass), ('asset.split')) i(inventory), eiot.check_watch(i.inventory)"),
		'0', "$where: counts are those of a recount");
}
cmp_ok($node->safe_psql('d', 'SELECT count(*) FROM eiot.flag_event'), '>', 20, 'flags were raised and cleared');
is( $node->safe_psql('d', q{
		SELECT count(*) FROM (SELECT kind, lag(kind, 1, 'cleared') OVER (PARTITION BY tenant_id ORDER BY flag_event_id) AS before
		                        FROM eiot.flag_event) e
		 WHERE kind = before}),
	'0', 'in turn');

$node->stop;
done_testing();
