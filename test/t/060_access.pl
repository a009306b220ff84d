# Access between sessions and databases: revoked at once, kept by dump and restore, whose audit is not written twice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_cluster('access');
my $data = data_dir();
my $dir = PostgreSQL::Test::Utils::tempdir();
my %id = map { $_->{folder} => $_->{tenant_id} } tenants();

$node->safe_psql('postgres', q{
CREATE DATABASE original;
CREATE ROLE fabrikam_reader LOGIN;
CREATE ROLE fabrikam_manager LOGIN;
CREATE ROLE deputy LOGIN IN ROLE fabrikam_manager;
CREATE ROLE auditors NOLOGIN;
CREATE ROLE auditor LOGIN IN ROLE auditors;
CREATE ROLE boss LOGIN;
CREATE ROLE keeper LOGIN;
CREATE ROLE outsider LOGIN;
});
$node->safe_psql('original', q{
SET client_min_messages = warning;
CREATE EXTENSION eiot CASCADE;
CREATE SCHEMA asset;
GRANT USAGE ON SCHEMA asset TO PUBLIC;
SELECT eiot.create_inventory('asset.device'), eiot.create_inventory('asset.split', 3);
});
load_exports($node, 'original', 'asset.device', 'asset.split');
$node->safe_psql('original', qq{
SELECT eiot.grant_access('fabrikam_reader', 'reader', '$id{fabrikam}'), eiot.grant_access('fabrikam_manager', 'manager', '$id{fabrikam}'),
       eiot.grant_access('auditors', 'reader'), eiot.grant_access('boss', 'manager');
SELECT eiot.grant_inventory(i, r::regrole, l)
  FROM unnest('{asset.device,asset.split}'::regclass[]) i,
       (VALUES ('fabrikam_reader', 'reader'), ('fabrikam_manager', 'manager'), ('auditors', 'reader'), ('boss', 'manager')) v(r, l);
});

sub as { my ($role) = @_; return (extra_params => [ '-U', $role ]); }

my $seen = q{SELECT count(*), string_agg(tenant, ',' ORDER BY tenant) FROM asset.%s_coverage};
for my $inventory (qw(device split))
{
	is($node->safe_psql('original', sprintf($seen, $inventory), as($_)), '1|Fabrikam', "$_ sees one tenant of $inventory")
	  for qw(fabrikam_reader fabrikam_manager deputy);
	is($node->safe_psql('original', sprintf($seen =~ s/, string.*?\)( FROM)/$1/r, $inventory), as($_)), 8, "$_ sees all of them") for qw(auditor boss);
	is($node->safe_psql('original', "SELECT count(*), count(DISTINCT tenant_id) FROM asset.$inventory", as('fabrikam_reader')), '1244|1', 'and their devices');
}

# ---- COPY

is($node->safe_psql('original', 'COPY eiot.tenant (name) TO STDOUT', as('fabrikam_reader')), 'Fabrikam', 'COPY TO writes what is seen');
is($node->safe_psql('original', 'COPY (SELECT count(*) FROM asset.device) TO STDOUT', as('fabrikam_reader')), 1244, 'of devices as well');
like(fails($node, 'original', '0A000', qq{COPY $_ FROM STDIN;\n\\.\n}, as('boss')), qr/COPY FROM not supported with row-level security/, "COPY FROM into $_ is refused")
  for 'asset.device (tenant_id, device_id)', 'eiot.entitlement (tenant_id, sku_id, units)';
isnt(fails($node, 'original', '42501', "TRUNCATE $_ CASCADE", as('boss')), '', "so is TRUNCATE $_") for qw(asset.device eiot.entitlement eiot.tenant eiot.audit);

# ---- who

my $change = "UPDATE eiot.entitlement SET units = units + 1 WHERE tenant_id = '$id{fabrikam}' AND upper_inf(valid) RETURNING 1";
is($node->safe_psql('original', $change, as('deputy')), 1, 'a member of a manager changes');
is($node->safe_psql('original', "SET ROLE fabrikam_manager; $change", as('deputy')), 1, 'as itself or as the manager');
is($node->safe_psql('original', 'SELECT who, login, action FROM eiot.audit ORDER BY audit_id DESC LIMIT 2', as('auditor')),
	"fabrikam_manager|deputy|UPDATE\ndeputy|deputy|UPDATE", 'the audit has both names');
isnt(fails($node, 'original', '42501', "SET row_security = off; $change", as('deputy')), '', 'and is not to be switched off');

for my $inventory (qw(device split))
{
	is($node->safe_psql('original', "WITH u AS (UPDATE asset.$inventory SET excluded = NOT excluded WHERE device_id LIKE '%7' RETURNING tenant_id) SELECT count(*) > 1, count(DISTINCT tenant_id) FROM u", as('deputy')), 't|1', "a manager decides about devices of $inventory");
	is($node->safe_psql('original', "WITH u AS (UPDATE asset.$inventory SET class_override = 'ot' WHERE device_id LIKE '%7' RETURNING tenant_id) SELECT count(DISTINCT tenant_id) > 1 FROM u", as('boss')), 't', 'the boss about those of many tenants');
	is($node->safe_psql('original', "SELECT count(*), count(DISTINCT tenant_id), bool_and((after ->> 'rows')::int > 0) FROM eiot.audit WHERE table_name = 'asset.$inventory' AND action = 'UPDATE'", as($_->[0])), $_->[1], "$_->[0] sees the entries of $inventory")
	  for [ 'fabrikam_reader', '2|1|t' ], [ 'auditor', $node->safe_psql('original', "SELECT count(DISTINCT tenant_id) + 1, count(DISTINCT tenant_id), 't' FROM asset.$inventory WHERE device_id LIKE '%7'") ];
	like(fails($node, 'original', '42501', "SET row_security = off; UPDATE asset.$inventory SET excluded = true", as('deputy')), qr/row-level security/, 'nor is it to be switched off for devices');
}

# ---- parallel plans

my $debug_parallel = $node->safe_psql('original', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
my $parallel = "SET $debug_parallel = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET min_parallel_index_scan_size = 0;";
$node->safe_psql('original', 'ANALYZE');
for my $query ('SELECT count(*) FROM asset.device', 'SELECT sum(devices) FROM asset.split_coverage', 'SELECT eiot.access_to_all($$reader$$), eiot.accessible_tenants($$reader$$) FROM eiot.tenant',
	q{SELECT count(*) FROM eiot.coverage_at('asset.device', '2026-08-12')})
{
	is($node->safe_psql('original', "$parallel $query", as($_)), $node->safe_psql('original', "SET max_parallel_workers_per_gather = 0; $query", as($_)), "in parallel for $_: $query")
	  for qw(fabrikam_reader auditor);
}
like($node->safe_psql('original', "$parallel EXPLAIN SELECT count(*) FROM asset.device", as('fabrikam_reader')), qr/Parallel/, 'which is parallel');

# ---- another session takes access away

my $session = $node->background_psql('original', on_error_stop => 0, extra_params => [ '-U', 'auditor', '-X' ]);
my $count = 'EXECUTE counting; SELECT pg_temp.counting(); SELECT count(*) FROM asset.device_coverage';
sub sees
{
	my ($expected, $what) = @_;
	is($session->query($count), join("\n", ($expected) x 3), $what);
	# Once more, so that plans made in a transaction that heard of a change are followed by some that stay.
	$session->query($count);
	return;
}

$node->safe_psql('original', qq{
GRANT SELECT ON eiot.tenant TO auditor;
SELECT eiot.grant_access('auditor', 'reader', '$id{fabrikam}');
SELECT eiot.grant_inventory('asset.device', 'auditor');
});
$session->query(q{
SET plan_cache_mode = force_generic_plan;
PREPARE counting AS SELECT count(*) FROM eiot.tenant;
CREATE FUNCTION pg_temp.counting() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM eiot.capacity); END';
});
sees(8, 'a member of the auditors sees all tenants');
$node->safe_psql('original', 'REVOKE auditors FROM auditor');
sees(1, 'no longer a member, it sees its own, in plans that are kept');
$node->safe_psql('original', 'GRANT auditors TO auditor');
sees(8, 'and all of them again');
$node->safe_psql('original', q{REVOKE auditors FROM auditor; SELECT eiot.grant_access('auditor', 'reader')});
sees(8, 'granted all tenants itself');
$node->safe_psql('original', q{DELETE FROM eiot.access WHERE grantee = 'auditor' AND tenant_id IS NULL});
sees(1, 'which is taken back');
$node->safe_psql('original', q{SELECT eiot.grant_access('auditor', 'reader')});
sees(8, 'given');
$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM eiot.tenant');
$node->safe_psql('original', q{DELETE FROM eiot.access WHERE grantee = 'auditor' AND tenant_id IS NULL});
$session->query($count);
$session->query('DISCARD PLANS; EXECUTE counting');
$session->query('COMMIT');
sees(1, 'and taken back while a transaction looks at the past, whose plans do not stay');
$node->safe_psql('original', qq{SELECT eiot.grant_access('auditor', 'reader', '$id{contoso}')});
sees(2, 'another tenant');
$node->safe_psql('original', q{ALTER ROLE auditor BYPASSRLS});
sees(8, 'BYPASSRLS sees all rows');
$node->safe_psql('original', q{ALTER ROLE auditor NOBYPASSRLS});
sees(2, 'without it no more');
$session->quit;

# Two at once do not meet in the tables' rights.
my $first = $node->background_psql('original');
$first->query(q{BEGIN; SELECT eiot.grant_access('outsider', 'reader')});
my $second = $node->background_psql('original');
$second->query_until(qr/start/, "\\echo start\nSELECT eiot.grant_access('keeper', 'reader');\n");
$node->poll_query_until('original', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'eiot.access'::regclass})
  or die 'the second grant does not wait';
$first->query('COMMIT');
$first->quit;
$second->quit;
is($node->safe_psql('original', q{SELECT string_agg(grantee, ',' ORDER BY grantee) FROM eiot.access WHERE grantee IN ('outsider', 'keeper')}), 'keeper,outsider', 'two grants at once');
is($node->safe_psql('original', 'SELECT count(*) FROM eiot.tenant', as($_)), 8, "$_ sees what was granted") for qw(outsider keeper);
$node->safe_psql('original', q{SELECT eiot.revoke_access('outsider'), eiot.revoke_access('keeper')});

# ---- dump and restore

my $audit = q{SELECT md5(string_agg(a::text, E'\n' ORDER BY audit_id)), count(*), max(audit_id) FROM eiot.audit a};
my $access = q{SELECT string_agg(a::text, E'\n' ORDER BY access_id) FROM eiot.access a};
my $rights = q{SELECT string_agg(c.oid::regclass || ' ' || x.grantee::regrole || ' ' || x.privilege_type, ',' ORDER BY c.oid::regclass::text, x.grantee::regrole::text, x.privilege_type)
	  FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) x WHERE c.relnamespace IN ('eiot'::regnamespace, 'asset'::regnamespace) AND x.grantee <> c.relowner};
my $triggers = q{SELECT string_agg(format('%s %s', t.tgname, pg_get_triggerdef(t.oid)), ',' ORDER BY t.tgrelid::regclass::text, t.tgname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
	 WHERE c.relnamespace = 'asset'::regnamespace AND NOT t.tgisinternal};
my $policies = q{SELECT string_agg(concat_ws(' ', p.polrelid::regclass, p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), ',' ORDER BY p.polrelid::regclass::text, p.polname),
	  (SELECT string_agg(c.oid::regclass::text, ',' ORDER BY c.oid::regclass::text) FROM pg_class c WHERE c.relrowsecurity) FROM pg_policy p};
my @questions = ($audit, $access, $rights, $policies, $triggers, "SELECT count(*) FROM eiot.device_import");
my @answers = map { $node->safe_psql('original', $_) } @questions;
like($answers[0], qr/\|[1-9]\d+\|\d+$/, 'there is an audit to lose');

sub check_restored
{
	my ($db, $how, @skip) = @_;
	my @names = ('audit', 'access', 'rights on tables', 'policies', 'triggers', 'imports');
	for my $i (grep { my $n = $_; !grep { $_ == $n } @skip } 0 .. $#questions)
	{
		ok($node->safe_psql($db, $questions[$i]) eq $answers[$i], "$how: the same $names[$i]");
	}
	return if @skip;
	is($node->safe_psql($db, sprintf($seen, 'device'), as('fabrikam_reader')), '1|Fabrikam', "$how: a reader sees its tenant");
	isnt(fails($node, $db, '42501', 'SELECT FROM eiot.tenant', as('outsider')), '', "$how: and others nothing");
	return;
}

for my $way ([ 'custom', '-Fc' ], [ 'inserts', '-Fc', '--inserts' ], [ 'plain', '-Fp' ])
{
	my ($name, @options) = @$way;
	$node->command_ok([ 'pg_dump', @options, '-f', "$dir/$name", 'original' ], "$name dump");
	$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	my @restore = $name eq 'plain' ? ('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', "$dir/out", '-d', $name, '-f', "$dir/$name")
	  : ('pg_restore', '--exit-on-error', '-d', $name, "$dir/$name");
	$node->command_ok(\@restore, "$name restore");
	check_restored($name, $name);
}
$node->safe_psql('plain', $change, as('fabrikam_manager'));
$node->safe_psql('plain', "UPDATE asset.$_ SET merged_into = 'x' WHERE device_id LIKE '%7'", as('fabrikam_manager')) for qw(device split);
is($node->safe_psql('plain', "SELECT max(audit_id) - $1, count(*) FILTER (WHERE who = 'fabrikam_manager' AND audit_id > $1) FROM eiot.audit"), '3|3', 'the audit goes on')
  if $answers[0] =~ /(\d+)$/;

$node->safe_psql('postgres', 'CREATE DATABASE bare TEMPLATE template0');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--no-acl', '-d', 'bare', "$dir/custom" ], 'restore without rights');
check_restored('bare', 'without rights', 2);
isnt(fails($node, 'bare', '42501', 'SELECT FROM eiot.tenant', as('fabrikam_reader')), '', 'without rights nothing is seen');
$node->safe_psql('bare', 'SELECT eiot.set_access_rights(quote_ident(grantee)::regrole) FROM (SELECT DISTINCT grantee FROM eiot.access) a');
is($node->safe_psql('bare', 'SELECT name FROM eiot.tenant', as('fabrikam_reader')), 'Fabrikam', 'which set_access_rights gives again');
is($node->safe_psql('bare', $rights =~ s/, 'asset'::regnamespace//r), $node->safe_psql('original', $rights =~ s/, 'asset'::regnamespace//r), 'to everybody');

# Rows that are hidden are not left out of a dump without a word.
$node->command_fails_like([ 'pg_dump', '-U', 'boss', '-f', "$dir/part", '-n', 'asset', 'original' ], qr/query would be affected by row-level security policy|permission denied/,
	'a role that row-level security binds makes no dump');
$node->safe_psql('postgres', 'ALTER ROLE keeper BYPASSRLS; GRANT pg_read_all_data TO keeper');
$node->command_ok([ 'pg_dump', '-U', 'keeper', '-Fc', '-f', "$dir/keeper", 'original' ], 'one that reads all data and bypasses it does');
$node->safe_psql('postgres', 'CREATE DATABASE kept TEMPLATE template0');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'kept', "$dir/keeper" ], 'and it is restored');
check_restored('kept', 'by a role for dumps');

# ---- live counts, whose writers see a part

$node->safe_psql('original', q{SELECT eiot.watch('asset.device'), eiot.watch('asset.split')});
my $live = q{SELECT tenant, counted, capacity, gap, under_licensed FROM eiot.tenant_coverage WHERE tenant = 'Fabrikam'};
like($node->safe_psql('original', $live), qr/^Fabrikam\|0\|1210\|0\|f$/, 'nothing was seen for long');
for my $inventory (qw(device split))
{
	is($node->safe_psql('original', qq{
			SELECT stored FROM eiot.import_device_info('asset.$inventory', '$id{fabrikam}',
			  (SELECT jsonb_agg(jsonb_build_object('DeviceId', 'live ' || n, 'DeviceCategory', 'IoT', 'Timestamp', now())) FROM generate_series(1, 700) n));
		}, as('fabrikam_manager')), 700, "a manager of one tenant imports into $inventory");
	is($node->safe_psql('original', "SELECT count(*) FROM eiot.check_watch('asset.$inventory')"), 0, 'which the live counts follow');
}
is($node->safe_psql('original', $live), 'Fabrikam|1400|1210|190|t', 'the tenant is short');
is($node->safe_psql('original', 'SELECT kind, devices, capacity, gap FROM eiot.flag_event', as($_)), 'raised|1400|1210|190', "$_ is told") for qw(fabrikam_reader boss);
is($node->safe_psql('original', 'SELECT count(*), min(tenant) FROM eiot.tenant_coverage', as('fabrikam_reader')), '1|Fabrikam', 'and sees its own live coverage');
is($node->safe_psql('original', qq{
		SELECT eiot.set_alert('$id{fabrikam}', 500, 400);
		UPDATE eiot.entitlement SET units = units + 100 WHERE tenant_id = '$id{fabrikam}' AND upper_inf(valid);
		DELETE FROM asset.device WHERE device_id = 'live 1';
	}, as('fabrikam_manager')), '', 'the manager sets an alert, buys, and deletes');
is($node->safe_psql('original', $live), 'Fabrikam|1399|1710|0|f', 'which is followed as well');
is($node->safe_psql('original', "SELECT count(*) FROM eiot.check_watch('asset.$_')"), 0, 'without a difference') for qw(device split);
is($node->safe_psql('original', q{SELECT kind, who FROM eiot.flag_event LEFT JOIN eiot.audit a ON a.table_name = 'eiot.alert' ORDER BY flag_event_id}), "raised|fabrikam_manager\ncleared|fabrikam_manager", 'the flag is cleared, the alert is in the audit');

# ---- roles that go

$node->safe_psql('plain', q{SELECT eiot.release_inventory('asset.device'), eiot.release_inventory('asset.split'); DROP EXTENSION eiot});
is($node->safe_psql('plain', 'SELECT count(*) FROM asset.device', as('fabrikam_reader')), 0, 'without the extension an inventory shows nothing to who does not own it');
is($node->safe_psql('plain', 'SELECT count(*) FROM asset.device'), $node->safe_psql('custom', 'SELECT count(*) FROM asset.device'), 'and has all its rows');

$node->stop;
done_testing();
