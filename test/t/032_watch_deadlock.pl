# Transactions that touch the same tenants in different orders never wait in a circle, far from the limits and at them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $tenants = 4;
my $seconds = $ENV{EIOT_LONG} ? 20 : 2;

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

# Each session has devices of its own: a device counts, or does not, by chance.  Some tenants are due all the time, so that
# refresh() has something to lock.
my $device = "INSERT INTO %s (tenant_id, device_id, category, last_seen) VALUES (asset.tenant(:%s), %s, (ARRAY['IoT', 'Network device'])[:c%d], now()) "
  . "ON CONFLICT (tenant_id, device_id) DO UPDATE SET category = EXCLUDED.category;\n";
my $refresh = "SELECT eiot.refresh();\n";
my ($own, $shared) = ("'c' || :client_id", "'s'");

# A script for pgbench of one transaction.
sub script
{
	my ($name, @statements) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/$name.sql";
	append_to_file($file,
		join('', map { "\\set c$_ random(1, 2)\n" } 1 .. 4)
		  . "\\set a random(1, $tenants)\n\\set b 1 + (:a + random(0, $tenants - 2)) % $tenants\n\\set c random(1, $tenants)\n"
		  . join('', 'BEGIN;' . "\n", @statements, "COMMIT;\n"));
	return $file;
}

# No two sessions wait for a row: then they wait for tenants alone.
my $orders = script('orders',
	sprintf($device, 'asset.device', 'a', $own, 1), sprintf($device, 'asset.split', 'b', $own, 2),
	sprintf($device, 'asset.device', 'c', $own, 3), sprintf($device, 'asset.split', 'a', $own, 4));
my $refreshing = script('refreshing',
	sprintf($device, 'asset.device', 'a', $own, 1), $refresh, sprintf($device, 'asset.split', 'b', $own, 2),
	$refresh, sprintf($device, 'asset.device', 'c', $own, 3));
# They wait for one row, after a refresh or with one.
my $row_last = script('row_last', $refresh, sprintf($device, 'asset.device', 'a', $own, 1), $refresh,
	sprintf($device =~ s/:%s/%s/r, 'asset.device', '1', $shared, 2));
my $row_first = script('row_first', sprintf($device =~ s/:%s/%s/r, 'asset.device', '1', $shared, 1), $refresh,
	sprintf($device, 'asset.split', 'b', $own, 2));
# Makes every tenant due.
my $due = script('due', "SELECT eiot.refresh(now() + interval '1 hour');\n");

for my $case (
	[ 'far from their limits', 1_000_000, $orders ],
	[ 'at their limits', 6, $orders ],
	[ 'refresh amid transactions', 6, $refreshing, "$due\@1" ],
	[ 'refresh amid transactions that wait for a row', 6, $refreshing, $row_last, $row_first, "$due\@1" ])
{
	my ($where, $units, @scripts) = @$case;
	$node->safe_psql('d', qq{
		DELETE FROM eiot.entitlement;
		INSERT INTO eiot.entitlement (tenant_id, sku_id, units)
		SELECT tenant_id, 'b2f91841-252f-4765-94c3-75802d7c0ddb', $units FROM eiot.tenant});
	my ($out, $err) = run_command(
		[ 'pgbench', '-n', '-c', '8', '-j', '2', '-T', $seconds, (map { ('-f', /\@/ ? $_ : "$_\@4") } @scripts), $node->connstr('d') ]);
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
