# The server stops without warning while bodies are imported: after recovery a body is there whole or not at all.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_cluster('crash');
my ($tenant, $devices) = ('5f2c0d6e-0000-4000-8000-000000000001', 30_000);

$node->safe_psql('postgres', 'CREATE DATABASE d');
$node->safe_psql('d', qq{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
INSERT INTO eiot.tenant VALUES ('$tenant', 'Fabrikam');
SELECT eiot.create_inventory('asset.device');
SELECT eiot.create_inventory('asset.split', 2);
-- A body of devices, three in four of which count.
CREATE TABLE body (payload jsonb);
INSERT INTO body
SELECT jsonb_build_object('Results', jsonb_agg(jsonb_build_object(
         'DeviceId', md5(i::text), 'Timestamp', now() - i * interval '1 second', 'DeviceCategory', 'IoT',
         'DeviceType', 'Camera', 'IsExcluded', i % 4 = 0, 'OnboardingStatus', 'Unsupported')))
  FROM generate_series(1, $devices) i;
-- One bad row in ten.
INSERT INTO body
SELECT jsonb_agg(CASE WHEN ordinal % 10 = 0 THEN row - 'Timestamp' ELSE row END)
  FROM body CROSS JOIN jsonb_array_elements(payload -> 'Results') WITH ORDINALITY r(row, ordinal)
 WHERE ordinal <= 5000;
CREATE TABLE licenses (payload jsonb);
INSERT INTO licenses
SELECT jsonb_agg(jsonb_build_object('skuId', sku_id, 'skuPartNumber', part_number, 'consumedUnits', 0,
         'prepaidUnits', '{"enabled": 10, "warning": 1, "suspended": 1, "lockedOut": 1}'::jsonb))
  FROM eiot.sku;
});

my $import = q{SELECT stored FROM eiot.import_device_info('asset.device', '%s', (SELECT payload FROM body WHERE payload ? 'Results'))};
$import = sprintf($import, $tenant);
my $rejecting = sprintf(
	q{SELECT stored FROM eiot.import_device_info('asset.split', '%s', (SELECT payload FROM body WHERE NOT payload ? 'Results'), 'reject')},
	$tenant);
my $licenses = sprintf(q{SELECT count(*) FROM eiot.import_subscribed_skus('%s', (SELECT payload FROM licenses))}, $tenant);

# Runs SQL in the background, stops the server after so many seconds or, without them, when it has printed "ready".
sub crash_during
{
	my ($sql, $after) = @_;
	my ($in, $out, $err) = ("$sql;\n\\echo ready\n", '', '');
	# standard input stays open, so that psql does not end by itself
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('d') ], '<', \$in, '>', \$out, '2>', \$err,
		IPC::Run::timeout(60));
	if (defined $after)
	{
		my $end = time() + $after;
		while (time() < $end) { $psql->pump_nb; sleep 0.01; }
	}
	else
	{
		$psql->pump until $out =~ /ready/;
	}
	$node->stop('immediate');
	# it may have lost its connection in the middle of a sentence
	$psql->kill_kill;
	$node->start;
	return $out;
}

# Devices of an inventory, and is what its view and coverage_at count what a recount gives?
sub devices_of
{
	my ($inventory) = @_;
	my ($n, $same) = split /\|/, $node->safe_psql('d', qq{
		SELECT v.devices,
		       (v.devices, v.counted) = (r.devices, r.counted)
		       AND (v.devices, v.counted, v.gap) = (c.devices, c.counted, c.gap)
		       AND e.devices = r.devices
		  FROM ${inventory}_coverage v
		 CROSS JOIN eiot.coverage_at('$inventory', now()) c
		 CROSS JOIN (SELECT count(*) AS devices,
		                    count(*) FILTER (WHERE class = 'iot' AND NOT excluded AND last_seen >= now() - interval '720 hours') AS counted
		               FROM $inventory) r
		 CROSS JOIN (SELECT coalesce(sum(devices), 0) AS devices FROM eiot.explain_count('$inventory', '$tenant')) e});
	is($same, 't', "$inventory: recount = view");
	return $n;
}

# ---- not committed: nothing is there

my $out = crash_during("BEGIN; $import; $rejecting; $licenses");
like($out, qr/^$devices\n4500\n\d+\nready/, 'the bodies were imported, but not committed');
is(devices_of('asset.device'), 0, 'nothing of it is there');
is(devices_of('asset.split'), 0, 'nor in the partitions');
is($node->safe_psql('d', 'SELECT (SELECT count(*) FROM eiot.import_reject), (SELECT count(*) FROM eiot.entitlement)'),
	'0|0', 'nor rejects and entitlements');

# ---- in the middle: all or nothing

my $start = time();
$node->safe_psql('d', "BEGIN; $import; ROLLBACK");
my $takes = time() - $start;
note("an import takes $takes s");
my $whole = 0;
for my $part (0.2, 0.5, 0.8, 1)
{
	crash_during($import, $takes * $part);
	my $n = devices_of('asset.device');
	ok($n == 0 || $n == $devices, "stopped after $part of the time: none or all are there") or diag("there are $n");
	$whole++ if $n;
	$node->safe_psql('d', 'TRUNCATE asset.device');
}
note("$whole of 4 were committed");

# ---- committed: all is there

$out = crash_during("$import; $rejecting; $licenses");
is(devices_of('asset.device'), $devices, 'committed: the whole body is there');
is(devices_of('asset.split'), 4500, 'and that of the partitions');
is($node->safe_psql('d', q{
		SELECT count(*) FROM eiot.import_reject;
		SELECT count(*) = 4 * (SELECT count(*) FROM eiot.sku) FROM eiot.entitlement}),
	"500\nt", 'and the rejects and the entitlements');
is($node->safe_psql('d', "$import; $licenses"), "0\n0", 'the same bodies again change nothing');
is($node->safe_psql('d', q{
		INSERT INTO eiot.import_reject (inventory, tenant_id, ordinal, reason, body)
		SELECT inventory, tenant_id, ordinal, reason, body FROM eiot.import_reject LIMIT 1 RETURNING reject_id > 500}),
	't', 'the sequences did not go back');

$node->stop;
done_testing();
