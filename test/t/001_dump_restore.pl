# A dump has everything that the user made and changed and nothing that the extension ships; restored, all of it
# gives the same answers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('dump');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $data = data_dir();
my %id = map { $_->{folder} => $_->{tenant_id} } tenants();
$id{relecloud} = '5f2c0d6e-0000-4000-8000-0000000000ff';

# ---- the database

$node->safe_psql('postgres', 'CREATE DATABASE original');
$node->safe_psql('original', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
SELECT eiot.create_inventory('asset."Device, split"', 4);
});
my $fresh = all_rows('original');
load_exports($node, 'original', 'asset.device', 'asset."Device, split"');

$node->safe_psql('original', qq{
-- a day later Fabrikam has bought the four that were missing
SELECT FROM eiot.import_subscribed_skus('$id{fabrikam}', pg_read_file('$data/fabrikam/subscribedSkus-plus-4.json')::jsonb, '2026-08-13');
SELECT FROM eiot.import_device_info('asset.device', '$id{proseware}', pg_read_file('$data/bad/DeviceInfo-mixed.json')::jsonb, 'reject');

-- a shipped SKU changed, another taken over by INSERT, one of the user's own
UPDATE eiot.sku SET devices_per_unit = 6 WHERE part_number = 'SPE_E5';
INSERT INTO eiot.sku (sku_id, part_number, name, kind, devices_per_unit, includes_defender_p2, basis)
SELECT sku_id, part_number, 'Ours: ' || name, kind, 3, includes_defender_p2, 'documentation'
  FROM eiot.sku WHERE part_number = 'M365_G5_GCC';
INSERT INTO eiot.sku (sku_id, name, kind, devices_per_unit)
VALUES ('00000000-0000-4000-8000-000000000001', E'Own\\tSKU', 'device_license', 2);

-- a shipped rule ends earlier, and one of the user's own follows it; a draft besides
UPDATE eiot.counting_rule SET valid = '[2026-07-02,2026-08-01)' WHERE name = '2026-07';
INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after, count_transient, source)
VALUES ('house', '[2026-08-01,)', '{iot,network,ot}', '60 days', true, 'contract'),
       ('house draft', DEFAULT, '{iot}', NULL, false, NULL);
UPDATE eiot.tenant SET counting_rule = '2023-09' WHERE tenant_id = '$id{contoso}';
UPDATE eiot.tenant SET counting_rule = 'house draft' WHERE tenant_id = '$id{proseware}';

-- entitlements by hand: open, over, yet to come, in warning, unlimited, of SKUs that are the user's
INSERT INTO eiot.entitlement (tenant_id, sku_id, subscription_id, units, assigned_units, state, valid)
SELECT e.tenant, s.sku_id, e.subscription, e.units, 0, e.state, e.valid::tstzrange
  FROM (VALUES ('$id{adatum}'::uuid, 'Microsoft 365 E5', 'a', 2, 'enabled', '[2026-01-01,)'),
               ('$id{adatum}', 'Microsoft 365 E5', 'b', 50, 'enabled', '[2023-01-01,2023-12-01)'),
               ('$id{adatum}', 'Microsoft 365 E5', 'b', 70, 'enabled', '[2023-12-01,2026-08-12)'),
               ('$id{adatum}', 'Microsoft 365 E5', 'c', 70, 'enabled', '[2126-12-01,)'),
               ('$id{contoso}', E'Own\\tSKU', 'd', 5, 'warning', '(,)'),
               ('$id{contoso}', 'Ours: Microsoft 365 GCC G5', 'e', 5, 'enabled', '[2026-01-01,)'),
               ('$id{tailspin}', 'EIoT Device License - trial', 'f', eiot.unlimited(), 'enabled', '[2026-08-01,2026-10-30)'))
       e(tenant, sku, subscription, units, state, valid)
  JOIN eiot.sku s ON s.name = e.sku;

-- the life of licenses: an unlimited trial of old, one of 2024, purchases, changes of units and billing, units assigned, another
-- currency, an end, monitoring off and on and off, imported units with a price that a later import hands on
INSERT INTO eiot.tenant (tenant_id, name) VALUES ('$id{relecloud}', 'Relecloud');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
VALUES ('$id{adatum}', '111046dd-295b-4d6d-9724-d52ac90bd1f2', 50, '[2022-01-01,)'), ('$id{relecloud}', '111046dd-295b-4d6d-9724-d52ac90bd1f2', 5, '[2022-01-01,)');
SELECT eiot.start_trial('$id{relecloud}', '2023-06-01'), eiot.start_trial('$id{relecloud}', '2024-07-01');
DO \$\$
DECLARE
  id bigint;
BEGIN
  id := eiot.purchase('$id{relecloud}', 10, 'month', 1.20, 'EUR', '2025-01-30 09:00');
  id := eiot.change_units(id, 14, '2025-02-10');
  id := eiot.assign_units(id, 5, '2025-02-11');
  id := eiot.change_billing(id, 'month', 1.30, '2025-03-30');
  id := eiot.change_billing(id, 'year', 13, '2025-05-12 17:45');
  id := eiot.change_units(id, 9, '2025-06-01');
  id := eiot.change_units(eiot.purchase('$id{relecloud}', 100, 'quarter', 180.5, 'JPY', '2025-02-15'), 0, '2025-07-07');
  id := eiot.purchase('$id{relecloud}', 3, 'month', 1.10, 'EUR', '2025-08-08', term => '3 years', reduce_within => '168:00:00');
  id := eiot.purchase('$id{adatum}', 3, 'quarter', 3.555, 'KWD', '2026-03-31', billing_anchor => '2026-01-31');
END
\$\$;
SELECT eiot.turn_off('$id{northwind}', '2025-01-01'), eiot.turn_on('$id{northwind}', '2025-02-01'), eiot.turn_off('$id{northwind}', '2026-08-12 12:00');
INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid, billing_frequency, unit_price, currency, billing_anchor)
VALUES ('$id{litware}', 'e1070000-0000-4000-8000-000000000002', 1000, '[2022-11-01,)', 'month', 0.90, 'EUR', '2022-11-01');
SELECT eiot.cancel_legacy_plan('$id{litware}', '2023-06-10 12:00');
SELECT eiot.change_billing(e.entitlement_id, 'month', 54.75, '2026-08-13 10:00', 'USD')
  FROM eiot.entitlement e WHERE e.tenant_id = '$id{fabrikam}' AND e.source = 'subscribedSkus' AND e.state = 'enabled' AND upper_inf(e.valid) AND e.units > 0;
SELECT FROM eiot.import_subscribed_skus('$id{fabrikam}', pg_read_file('$data/fabrikam/subscribedSkus-241.json')::jsonb, '2026-08-13 16:00');
SELECT FROM eiot.import_subscribed_skus('$id{fabrikam}', pg_read_file('$data/fabrikam/subscribedSkus-plus-4.json')::jsonb, '2026-08-13 18:00');

UPDATE asset.device SET class_override = 'medical' WHERE tenant_id = '$id{fabrikam}' AND device_id LIKE '%7';
UPDATE asset.device SET class_override = 'ot', evidence = '{"a": 1}', identified_class = 'bms' WHERE tenant_id = '$id{adatum}' AND device_id LIKE '%3';
});

# ---- what is compared

# Every row of every table of the extension, and the state of its sequences.
sub all_rows
{
	my ($db) = @_;
	my $tables = $node->safe_psql('original', q{
		SELECT string_agg(format('SELECT %L, row_to_json(t)::text FROM %s t', r::text, r), ' UNION ALL ' ORDER BY r::text)
		  FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig::regclass[]) r
		 WHERE e.extname = 'eiot'});
	# a sequence that was never used and one that was set to its start differ in log_cnt alone
	$tables =~ s/row_to_json\(t\)::text (FROM eiot\.\w+_seq t)/json_build_array(last_value, is_called)::text $1/g;
	return $node->safe_psql($db, "$tables ORDER BY 1, 2");
}

# What users ask.
sub answers
{
	my ($db) = @_;
	my $sql = q{
		SELECT 'capacity', * FROM eiot.capacity ORDER BY tenant_id;
		SELECT 'capacity_at', at, tenant_id, eiot.capacity_at(tenant_id, at), eiot.next_capacity_change(tenant_id, at)
		  FROM eiot.tenant CROSS JOIN unnest('{2023-06-10 12:59,2023-06-10 13:00,2023-06-15,2023-11-30,2024-08-01,2025-01-15,2025-03-01,2026-08-12,2026-08-12 12:00,2026-08-13,2027-01-01}'::timestamptz[]) at
		 ORDER BY at, tenant_id;
		SELECT 'history', t.tenant_id, h.at, h.what, h.product, h.state, h.entitlement_id, h.units_before, h.units_after, h.recorded_by
		  FROM eiot.tenant t CROSS JOIN LATERAL eiot.history(t.tenant_id) WITH ORDINALITY h ORDER BY t.tenant_id, h.ordinality;
		SELECT 'charges', t.tenant_id, p.policy, c.* FROM eiot.tenant t CROSS JOIN (VALUES ('nce', 'clamp'), ('azure', 'clamp'), ('day,at=total,tz=Asia/Tokyo', 'distance')) p(policy, month_end)
		 CROSS JOIN LATERAL eiot.charges(t.tenant_id, '[2022-01-01,2027-01-01)', p.policy::eiot.proration_policy, p.month_end) WITH ORDINALITY c ORDER BY t.tenant_id, p.policy, c.ordinality;
	};
	for my $inventory ('asset.device', 'asset."Device, split"')
	{
		my $view = $inventory =~ s/("?)$/_coverage$1/r;
		$sql .= qq{
		SELECT 'view', * FROM $view ORDER BY tenant_id;
		SELECT 'coverage_at', at, c.* FROM unnest('{2022-07-06,2023-10-01,2026-07-31,2026-08-12,2026-08-13}'::timestamptz[]) at
		 CROSS JOIN LATERAL eiot.coverage_at('$inventory', at) c ORDER BY at, tenant_id;
		SELECT 'explain_count', t.tenant_id, c.* FROM eiot.tenant t
		 CROSS JOIN LATERAL eiot.explain_count('$inventory', t.tenant_id, '2026-08-12') c ORDER BY t.tenant_id, reason;
		SELECT 'devices', tableoid::regclass, count(*), md5(string_agg(d::text, E'\\n' ORDER BY tenant_id, device_id))
		  FROM $inventory d GROUP BY 2 ORDER BY 2::text;
		};
	}
	return $node->safe_psql($db, $sql);
}

# A dump as text, rows of a table in one order: how they lie in the heap is nobody's business.
sub dump_text
{
	my ($db) = @_;
	my $file = "$dir/$db.text";
	$node->command_ok([ 'pg_dump', '-f', $file, $db ], "$db is dumped");
	my $text = slurp_file($file);
	# psql's protection against hostile dumps has a random word
	$text =~ s/^\\(?:un)?restrict .*\n//mg;
	$text =~ s{(^COPY [^\n]* FROM stdin;\n)(.*?)(^\\\.\n)}{$1 . join('', sort split(/^/, $2)) . $3}gmse;
	return $text;
}

# Differences, not 2 MB of dump.
sub same_text
{
	my ($got, $expected, $name) = @_;
	return pass($name) if $got eq $expected;
	fail($name);
	my (%got, %expected);
	$got{$_}++ for split /\n/, $got;
	$expected{$_}++ for split /\n/, $expected;
	my @diff = ((map { "- $_" } grep { !$got{$_} } sort keys %expected),
		(map { "+ $_" } grep { !$expected{$_} } sort keys %got));
	splice @diff, 8 if @diff > 8;
	diag(@diff ? join("\n", map { substr $_, 0, 200 } @diff) : 'the same lines in another order or number');
	return 0;
}

my $rows = all_rows('original');
my $answers = answers('original');
my $dump = dump_text('original');

isnt($rows, $fresh, 'there is something to lose');
like($rows, qr/^eiot\.import_reject\|.*"ordinal":2,/m, 'rejects among it');
is(() = $rows =~ /^eiot\.entitlement\|/mg,
	$node->safe_psql('original', 'SELECT count(*) FROM eiot.entitlement'), 'and entitlements');
is( join(' ', sort(keys %{ { map { $_ => 1 } $answers =~ /^history\|[^|]*\|[^|]*\|([^|]+)\|/mg } })),
	'added billing changed ended imported legacy plan canceled legacy plan started monitoring turned off monitoring turned on price changed purchased trial ended trial started units assigned units changed',
	'every kind of event in the life of licenses');
is( join(' ', sort(keys %{ { map { $_ => 1 } $answers =~ /^charges\|[^|]*\|nce\|(?:[^|]*\|){4}(\w+)\|/mg } })),
	'decrease end frequency increase new price renewal usage', 'and of charge');
unlike($dump, qr/\bEIoT Device License - trial\b/, 'shipped rows that nobody changed are not dumped');
like($dump, qr/\tMicrosoft 365 E5\tuser_license\t6\t/, 'a changed one is');
unlike($dump, qr/CREATE (?:FUNCTION|AGGREGATE|TYPE|TABLE|SEQUENCE) eiot\./, 'nor are objects of the extension');

# ---- restore

sub check_restored
{
	my ($db, $how) = @_;
	same_text(all_rows($db), $rows, "$how: same rows in every table, shipped ones once, and sequences where they were");
	same_text(answers($db), $answers, "$how: same answers");
	same_text(dump_text($db), $dump, "$how: a second dump equals the first");
	is( $node->safe_psql($db, q{
			SELECT count(*) FROM (SELECT FROM eiot.sku GROUP BY sku_id HAVING count(*) > 1) s}),
		'0', "$how: no SKU twice");
	return;
}

$node->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", 'original' ], 'plain dump');
$node->safe_psql('postgres', 'CREATE DATABASE plain TEMPLATE template0');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-o', "$dir/psql.out", '-f', "$dir/plain.sql" ],
	'plain restore');
check_restored('plain', 'plain');

$node->command_ok([ 'pg_dump', '-Fc', '-Z', '1', '-f', "$dir/custom", 'original' ], 'custom dump');
$node->safe_psql('postgres', 'CREATE DATABASE single TEMPLATE template0');
$node->command_ok([ 'pg_restore', '--single-transaction', '-d', 'single', "$dir/custom" ], 'custom restore, one transaction');
check_restored('single', 'one transaction');

# With more than one job pg_restore does not keep the order that the keys between an extension's tables ask for, so
# schema eiot goes first, by one job.
$node->safe_psql('postgres', 'CREATE DATABASE parallel TEMPLATE template0');
for my $step ([qw(--section=pre-data)], [qw(--section=data -n eiot)], [qw(--section=data -N eiot -j 2)], [qw(--section=post-data -j 2)])
{
	$node->command_ok([ 'pg_restore', '--exit-on-error', @$step, '-d', 'parallel', "$dir/custom" ], "custom restore, @$step");
}
check_restored('parallel', 'parallel');

# Nor does pg_dump know, of data alone, that a partition refers to eiot.tenant.
$node->safe_psql('postgres', 'CREATE DATABASE halves TEMPLATE template0');
$node->command_ok([ 'pg_dump', '-Fc', "--$_-only", '-f', "$dir/$_", 'original' ], "dump of the $_ alone") for qw(schema data);
for my $step ([ "$dir/schema" ], [ '-n', 'eiot', "$dir/data" ], [ '-N', 'eiot', "$dir/data" ])
{
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'halves', @$step ], "restore, @$step[0 .. $#$step - 1]");
}
check_restored('halves', 'schema and data apart');

# Without partitions it does, so nothing has to go first.
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE template0") for qw(unpartitioned unpartitioned_halves);
$node->safe_psql('unpartitioned', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
SELECT eiot.create_inventory('asset.device');
UPDATE eiot.counting_rule SET inactive_after = NULL WHERE name = '2026-07';
UPDATE eiot.sku SET devices_per_unit = 6 WHERE part_number = 'SPE_E5'});
load_exports($node, 'unpartitioned', 'asset.device');
for my $half (qw(schema data))
{
	$node->command_ok([ 'pg_dump', "--$half-only", '-f', "$dir/$half.sql", 'unpartitioned' ], "plain dump of the $half alone");
	$node->command_ok(
		[ qw(psql -X -q -v ON_ERROR_STOP=1 -d unpartitioned_halves -o), "$dir/psql.out", '-f', "$dir/$half.sql" ],
		"plain restore of the $half alone");
}
same_text(all_rows('unpartitioned_halves'), all_rows('unpartitioned'), 'plain schema and data apart: same rows');
same_text(dump_text('unpartitioned_halves'), dump_text('unpartitioned'), 'plain schema and data apart: second dump equals the first');

# ---- life goes on

for my $db ('original', 'parallel')
{
	is( $node->safe_psql($db, qq{
			WITH e AS (INSERT INTO eiot.entitlement (tenant_id, sku_id, units, valid)
			           VALUES ('$id{adatum}', '00000000-0000-4000-8000-000000000001', 1, '[2026-08-12,)') RETURNING entitlement_id)
			SELECT entitlement_id = (SELECT max(entitlement_id) + 1 FROM eiot.entitlement) FROM e;
			WITH r AS (INSERT INTO eiot.import_reject (inventory, tenant_id, ordinal, reason, body)
			           VALUES ('x', '$id{adatum}', 1, 'x', '{}') RETURNING reject_id)
			SELECT reject_id = (SELECT max(reject_id) + 1 FROM eiot.import_reject) FROM r;
		}), "t\nt", "$db: the sequences go on");
	is( $node->safe_psql($db, qq{
			SELECT * FROM eiot.import_device_info('asset.device', '$id{northwind}', pg_read_file('$data/northwind/DeviceInfo.json')::jsonb);
			SELECT * FROM eiot.import_device_info('asset."Device, split"', '$id{northwind}', pg_read_file('$data/northwind/DeviceInfo-one-more.json')::jsonb);
			SELECT count(*) FROM eiot.import_subscribed_skus('$id{fabrikam}', pg_read_file('$data/fabrikam/subscribedSkus-plus-4.json')::jsonb, '2026-08-14');
		}), "2500|2500|0|0\n1|1|1|0\n0", "$db: the same body changes nothing, one device more is one more");
	like(fails($node, $db, '23P01', q{
			INSERT INTO eiot.counting_rule (name, valid, counted_classes) VALUES ('late', '[2026-09-01,)', '{iot}')}),
		qr/conflicting key/, "$db: rules that overlap are still refused");
}
same_text(answers('parallel'), answers('original'), 'restored and original go on alike');

# ---- shipped rows that are gone

# Whatever somebody may do to a shipped row, the dump can be restored and gives the same rows; refusing it is as good.
# A SKU that was deleted may come back: nobody held it.
my %changes = (
	'a shipped SKU deleted' => q{DELETE FROM eiot.sku WHERE part_number = 'SPE_F5_SEC'},
	'a shipped rule replaced by one of the user' => q{
		DELETE FROM eiot.counting_rule WHERE name = '2026-07';
		INSERT INTO eiot.counting_rule (name, valid, counted_classes, inactive_after) VALUES ('ours', '[2026-07-02,)', '{iot}', '60 days')},
	'a shipped rule renamed' => q{UPDATE eiot.counting_rule SET name = 'current' WHERE name = '2026-07'},
	'shipped rows given back unchanged' => q{
		UPDATE eiot.counting_rule SET name = name; UPDATE eiot.sku SET devices_per_unit = devices_per_unit});
my $n = 0;
for my $change (sort keys %changes)
{
	my ($from, $to) = ('gone' . ++$n, "back$n");
	$node->safe_psql('postgres', "CREATE DATABASE $from");
	$node->safe_psql($from, 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
	my ($refused) = $node->psql($from, "BEGIN; $changes{$change}; COMMIT;", on_error_stop => 1);
	if ($refused)
	{
		pass("$change: is refused");
		next;
	}
	$node->safe_psql('postgres', "CREATE DATABASE $to TEMPLATE template0");
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/$from", $from ], "$change: is dumped");
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $to, "$dir/$from" ], "$change: is restored");
	my ($there, $was) = (all_rows($to), all_rows($from));
	$there =~ s/^eiot\.sku\|[^\n]*"SPE_F5_SEC"[^\n]*"shipped":true\}\n//m if $change =~ /SKU deleted/;
	same_text($there, $was, "$change: is so again");
}

$node->stop;
done_testing();
