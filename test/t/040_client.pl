# The program eiot: options, connection, what it shows, and how it fails.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotClient;
use EiotTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $data = data_dir();
my @commands = ('import devices', 'import licenses', 'import fingerprints', 'import oui', 'coverage', 'explain', 'check', 'watch',
	'report');

# ---- without a server

my ($version) = slurp_file("$FindBin::RealBin/../../eiot.control") =~ /^default_version *= *'(.*)'/m;
is(succeeds(undef, undef, ['--version'], '--version'), "eiot $version\n", 'it is the version of the extension');
my $help = succeeds(undef, undef, ['--help'], '--help');
for my $command (@commands)
{
	my @words = split / /, $command;
	like($help, qr/^  \Q$command\E  +\S/m, "--help lists $command");
	my $out = succeeds(undef, undef, [ @words, '--help' ], "$command --help");
	like($out, qr/\AUsage: eiot \Q$command\E\b.*-h, --host.*Exit status: 0 fine/s, "$command --help says what there is");
	unlike($out, qr/^.{101}/m, "$command --help is no wider than a terminal");
}
is(succeeds(undef, undef, ['-?'], '-?'), $help, '-? is --help');
is(succeeds(undef, undef, ['help'], 'help'), $help, 'so is help');
is(succeeds(undef, undef, [ 'help', 'import', 'oui' ], 'help on a command'), succeeds(undef, undef, [ 'import', 'oui', '-?' ], '-? on it'), 'is its --help');
is(succeeds(undef, undef, ['-V'], '-V'), "eiot $version\n", '-V is --version');

my @usage = (
	[ [], qr/no command/ ],
	[ ['frobnicate'], qr/unknown command "frobnicate"/ ],
	[ ['import'], qr/import what/ ],
	[ [ 'import', 'nothing' ], qr/import no "nothing", but devices, licenses, fingerprints or oui/ ],
	[ ['--frobnicate'], qr/unknown option --frobnicate/ ],
	[ [ 'check', '-x' ], qr/unknown option -x/ ],
	[ [ 'check', '--format', 'csv' ], qr/"check" takes no option --format/ ],
	[ [ 'coverage', '--format', 'xml' ], qr/unknown format "xml"/ ],
	[ [ 'coverage', '--tenant' ], qr/option --tenant needs a value/ ],
	[ [ 'coverage', 'file' ], qr/one argument too many: "file"/ ],
	[ ['explain'], qr/"explain" needs the option --tenant/ ],
	[ ['report'], qr/"report" needs the option --output/ ],
	[ [ 'report', '-o', '-', '--period', 'May' ], qr/not a period: "May"/ ],
	[ [ 'import', 'devices', '--tenant', 'x' ], qr/no file to import/ ],
	[ [ 'import', 'devices', 'x' ], qr/"import devices" needs the option --tenant; try "eiot import devices --help"/ ],
	[ [ 'import', 'oui', '--tenant', 'x' ], qr/"import oui" takes no option --tenant; try "eiot import oui --help"/ ],
	[ [ 'report', '-o', '-', '--period', '2026-08-31..2026-08-01' ], qr/the period "2026-08-31\.\.2026-08-01" ends before it begins/ ],
	[ [ 'import', 'devices', '--tenant', 'x', '-', '-' ], qr/standard input can be read once/ ],
	[ [ 'import', 'licenses', '--tenant', 'x', 'a', 'b' ], qr/one argument too many: "b"/ ],
	[ [ 'import', 'fingerprints', '--kind', 'x', 'a', 'b' ], qr/--kind is that of one file/ ],
	[ [ 'check', '--lock-timeout', 'soon' ], qr/takes seconds/ ],
	[ [ 'check', '-d', 'host=localhost password=secret' ], qr/no password on the command line/ ],
	[ [ 'check', '-d', 'postgresql://me:secret@localhost/d' ], qr/no password on the command line/ ],
	[ [ 'check', '-d', 'postgresql://localhost/d?nonsense=1' ], qr/invalid connection string/ ],
);
fails_with(undef, undef, $_->[0], 2, $_->[1], join ' ', 'eiot', @{ $_->[0] }) for @usage;
unlike((eiot(undef, undef, [ 'check', '-d', 'postgresql://me:secret@localhost/d' ]))[2], qr/secret/, 'and the password is not repeated');

fails_with(undef, undef, [ 'check', '-h', $dir, '-d', 'd' ], 3, qr/connection to server .* failed: No such file or directory\. Is the server running/, 'no server');

# ---- connection

my $node = new_cluster('client');
my ($tenant, $other) = ('5f2c0d6e-0000-4000-8000-000000000001', '5f2c0d6e-0000-4000-8000-000000000002');
$node->safe_psql('postgres', 'CREATE DATABASE d');
fails_with($node, 'd', ['check'], 3, qr/database "d" has no extension eiot: CREATE EXTENSION eiot CASCADE/, 'no extension');
fails_with($node, 'missing', ['check'], 3, qr/database "missing" does not exist/, 'no database');
$node->safe_psql('d', 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
fails_with($node, 'd', ['check'], 2, qr/database "d" has no inventory/, 'no inventory');
$node->safe_psql('d', q{CREATE SCHEMA asset; SELECT eiot.create_inventory('asset.device'); UPDATE pg_extension SET extversion = '99.9' WHERE extname = 'eiot'});
fails_with($node, 'd', ['check'], 3, qr/extension eiot in database "d" is version 99\.9, this program is \Q$version\E/, 'another version');
$node->safe_psql('d', "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'eiot'");

is(join('|', eiot($node, 'd', ['check'])), "3|EIOT UNKNOWN - there is no tenant, or none that user \"" . $node->safe_psql('d', 'SELECT CURRENT_USER')
	. "\" has access to | tenants=0 under_licensed=0;0 gap=0\n|", 'that nobody is short where there is nobody is no news');
$node->safe_psql('d', "INSERT INTO eiot.tenant VALUES ('$other', 'Of one')");
my $fine = "EIOT OK - none of 1 tenants under-licensed | tenants=1 under_licensed=0;0 gap=0\n";
my ($host, $port) = ($node->host, $node->port);
my ($user) = $node->safe_psql('d', 'SELECT CURRENT_USER');
is(succeeds($node, 'd', ['check'], 'by environment'), $fine, 'it connects');
is(succeeds(undef, undef, [ '-h', $host, '-p', $port, '-U', $user, '-d', 'd', 'check' ], 'by options before the command'), $fine, 'it connects');
is(succeeds(undef, undef, [ 'check', '--host', $host, "--port=$port", '-dd' ], 'by options after it'), $fine, 'it connects');
is(succeeds(undef, undef, [ 'check', '-d', "host=$host port=$port dbname=d" ], 'by connection string'), $fine, 'it connects');
my $uri = sprintf 'postgresql:///d?host=%s&port=%s', $host =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ger, $port;
is(succeeds(undef, undef, [ 'check', '-d', $uri ], 'by URI'), $fine, 'it connects');
write_file("$dir/service.conf", "[eiot_test]\nhost=$host\nport=$port\ndbname=d\n");
is(succeeds(undef, undef, [ 'check', '-d', 'service=eiot_test' ], 'by service file', env => { PGSERVICEFILE => "$dir/service.conf" }),
	$fine, 'it connects');
is(succeeds(undef, undef, ['check'], 'by PGSERVICE', env => { PGSERVICEFILE => "$dir/service.conf", PGSERVICE => 'eiot_test' }),
	$fine, 'it connects');
is(succeeds($node, 'd', ['check'], 'POSIXLY_CORRECT', env => { POSIXLY_CORRECT => 1 }), $fine, 'options may stand anywhere all the same');

# Objects of somebody else in front of the real ones change nothing.
$node->safe_psql('d', q{
	CREATE SCHEMA trap;
	CREATE FUNCTION trap.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
	CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
	CREATE FUNCTION trap.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
	CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal);
	ALTER DATABASE d SET search_path = trap, pg_catalog;
});
is(succeeds($node, 'd', ['check'], 'a search_path with traps'), $fine, 'it is not followed');
$node->safe_psql('d', 'ALTER DATABASE d RESET search_path');

$node->safe_psql('d', 'DELETE FROM eiot.tenant');

# ---- tenants and inventories

fails_with($node, 'd', [ 'explain', '--tenant', 'Nobody' ], 2, qr/tenant "Nobody" does not exist: add it with INSERT INTO eiot\.tenant/, 'unknown tenant');
load_exports($node, 'd', 'asset.device');
fails_with($node, 'd', [ 'coverage', '--inventory', 'asset.nothing' ], 2, qr/inventory "asset\.nothing" does not exist/, 'unknown inventory');
fails_with($node, 'd', [ 'coverage', '--inventory', q{'; DROP TABLE asset.device} ], 2, qr/does not exist/, 'a name that is none');
$node->safe_psql('d', q{CREATE SCHEMA "Other Place"; SELECT eiot.create_inventory('"Other Place".device', 2)});
fails_with($node, 'd', ['coverage'], 2, qr/there are 2 inventories: name one with --inventory \("Other Place"\.device, asset\.device\)/, 'several inventories');
fails_with($node, 'd', [ 'coverage', '--inventory', 'device' ], 2, qr/there are 2 inventories called "device"/, 'the same name twice');
for my $name ('Other Place.device', '"Other Place".device')
{
	is(scalar(() = succeeds($node, 'd', [ 'coverage', '--inventory', $name, '--format', 'csv' ], "--inventory $name") =~ /^5f2c.*,0,0,/mg), 8,
		'its partitions are no inventories');
}
$node->safe_psql('d', q{DROP SCHEMA "Other Place" CASCADE});

# ---- coverage, explain, check

my $at = '2026-08-12';
my $expected = $node->safe_psql('d', qq{SELECT string_agg(format('%s,%s,%s,%s,%s,%s,%s,%s,%s', tenant_id, tenant, devices, counted, capacity, unlimited::text, gap, surplus,
	round(utilization, 6)), chr(10) ORDER BY gap DESC, tenant) FROM eiot.coverage_at('asset.device', '$at')});
my @as_of = ('--as-of', $at);
is(succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'csv' ], 'coverage as CSV'),
	"tenant_id,tenant,devices,counted,capacity,unlimited,gap,surplus,utilization\n$expected\n", 'it is what coverage_at gives');
is(succeeds($node, 'd', [ 'coverage', @as_of ], 'coverage as a table'), <<'END', 'it is aligned, the largest gap first');
tenant     devices  counted  capacity  gap  surplus    used
---------  -------  -------  --------  ---  -------  ------
Proseware       71       31         5   26        0  620.0%
Adatum          25       25         0   25        0
Fabrikam      1244     1204      1200    4        0  100.3%
Contoso       1679     1206      1600    0      394   75.4%
Litware         60       60      3025    0     2965    2.0%
Northwind     2500     2500      2500    0        0  100.0%
Tailspin         0        0        50    0       50    0.0%
Wingtip        100      100       100    0        0  100.0%
END
my $json = succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'json' ], 'coverage as JSON');
is($node->safe_psql('d', "SELECT sum((c ->> 'gap')::bigint) || ' ' || bool_and((c -> 'unlimited')::boolean) || ' ' || count(*) FROM jsonb_array_elements(\$json\$$json\$json\$) c"),
	'55 false 8', 'the server reads it');
is(succeeds($node, 'd', [ 'coverage', @as_of, '--tenant', 'Fabrikam', '--format', 'csv' ], 'one tenant by name'),
	succeeds($node, 'd', [ 'coverage', @as_of, '--tenant', uc $tenant, '--format', 'csv' ], 'and by id'), 'the same');
my $html = succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'html' ], 'coverage as HTML');
like($html, qr{\A<!DOCTYPE html>.*Content-Security-Policy.*<td class="n">1204</td>.*</html>\n\z}s, 'it is a page');
succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'html', '-o', "$dir/coverage.html" ], 'into a file');
is(slurp_file("$dir/coverage.html"), $html, 'the same page');
is_deeply([ glob "$dir/*.part" ], [], 'nothing is left beside it');
fails_with($node, 'd', [ 'coverage', '-o', "$dir/no/such/folder" ], 2, qr/could not write/, 'a file that cannot be written');
fails_with($node, 'd', [ 'coverage', '-o', $dir ], 2, qr/Is a directory/, 'nor a directory');
fails_with($node, 'd', [ 'coverage', '--as-of', 'soon' ], 2, qr/invalid input syntax/, 'a time that is none');
fails_with($node, 'd', [ 'coverage', '--as-of', $_ ], 2, qr/out of range: "\Q$_\E"\. Times are written as 2026-08-12 or/, "a time that can be read in two ways: $_") for '12.8.2026', '8/12/2026';
SKIP:
{
	skip 'no /dev/full', 1 unless -c '/dev/full';
	fails_with($node, 'd', [ 'coverage', '-o', '/dev/full' ], 3, qr/No space left/, 'a full disk is no success');
}

is(succeeds($node, 'd', [ 'explain', '--tenant', 'Proseware', @as_of ], 'explain'), <<'END', 'it adds up');
reason        devices
------------  -------
counted            31
not_iot            15
managed             4
inactive            4
merged              3
excluded            4
transient           3
not_a_device        7
total              71
END
is(succeeds($node, 'd', [ 'explain', '--tenant', $tenant, @as_of, '--format', 'json' ], 'explain as JSON'),
	qq([{"reason": "counted", "devices": 1204},\n {"reason": "not_iot", "devices": 40}]\n), 'no total');
$node->safe_psql('d', q{CREATE TABLE kept AS SELECT * FROM eiot.counting_rule; UPDATE eiot.counting_rule SET valid = 'empty'});
fails_with($node, 'd', [ 'explain', '--tenant', $tenant, @as_of ], 2, qr/no counting rule is in force/, 'no rule');
is(join('|', eiot($node, 'd', [ 'check', @as_of ])),
	"3|EIOT UNKNOWN - none of 8 tenants under-licensed; 8 not counted, no rule is in force | tenants=8 under_licensed=0;0 gap=0\n|", 'check without a rule');
$node->safe_psql('d', q{UPDATE eiot.counting_rule r SET valid = k.valid FROM kept k WHERE k.name = r.name});

my ($status, $out, $err) = eiot($node, 'd', [ 'check', @as_of ]);
is("$status|$err", '1|', 'check ends with 1 where licenses are missing');
is($out, "EIOT WARNING - 3 of 8 tenants under-licensed, 55 licenses missing: Proseware 26, Adatum 25, Fabrikam 4 | tenants=8 under_licensed=3;0 gap=55\n",
	'and says where');
is((eiot($node, 'd', [ 'check', @as_of, '--tenant', 'Contoso' ]))[0], 0, 'not for a tenant with enough');
is((eiot($node, 'd', [ 'check', @as_of, '--tenant', 'Adatum' ]))[0], 1, 'but for one without');

# ---- names from outside

my $nasty = qq{<script>alert(1)</script>\x1b[31m"red", '|' \xe2\x80\xae x\ny};
$node->safe_psql('d', qq{UPDATE eiot.tenant SET name = convert_from('\\x} . unpack('H*', $nasty) . qq{', 'UTF8') WHERE tenant_id = '$tenant';
	UPDATE eiot.tenant SET name = '=cmd|'' /C calc''!A0' WHERE tenant_id = '$other'});
$out = succeeds($node, 'd', [ 'coverage', @as_of ], 'a table with a name from outside');
like($out, qr/<script>alert\(1\)<\/script>\\x1B\[31m"red", '\|' \\u202E x y/, 'nothing in it steers the terminal');
unlike($out, qr/[\x00-\x09\x0b-\x1f\x7f]/, 'no control character comes through');
is(scalar(() = $out =~ /\n/g), 10, 'no line is broken');
$out = succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'html' ], 'a page with it');
unlike($out, qr/<script|\x1b/, 'no markup comes through');
like($out, qr/&lt;script&gt;alert\(1\)&lt;\/script&gt; \[31m&quot;red&quot;, &#39;\|&#39;/, 'but text');
$out = succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'csv' ], 'CSV with it');
like($out, qr/,"'=cmd\|' \/C calc'!A0",/, 'a formula is none to a spreadsheet');
write_file("$dir/nasty.csv", $out);
is($node->safe_psql('d', qq{CREATE TEMP TABLE c (a text, name text, b text, c text, d text, e text, f text, g text, h text);
	COPY c FROM '$dir/nasty.csv' (FORMAT csv, HEADER);
	SELECT count(*) FROM c JOIN eiot.tenant t ON t.name = c.name WHERE t.tenant_id = '$tenant'}), 1, 'the server reads the CSV back');
$out = succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'json' ], 'JSON with it');
is($node->safe_psql('d', "SELECT count(*) FROM jsonb_array_elements(\$json\$$out\$json\$) c JOIN eiot.tenant t ON t.name = c ->> 'tenant'"), 8, 'and the JSON');
(undef, $out) = eiot($node, 'd', [ 'check', @as_of ]);
like($out, qr/\A[^|\n\x1b]+ \| tenants=8 under_licensed=3;0 gap=55\n\z/, 'check stays one line with one bar');
succeeds($node, 'd', [ 'coverage', @as_of, '--tenant', $nasty ], 'the tenant is found by that name');
fails_with($node, 'd', [ 'coverage', '--tenant', "$nasty!" ], 2, qr/\\x1B\[31m/, 'and not echoed raw where it is not');
$node->safe_psql('d', "UPDATE eiot.tenant SET name = 'Twin' WHERE tenant_id IN ('$tenant', '$other')");
like(succeeds($node, 'd', [ 'coverage', @as_of ], 'both in a table'), qr/^Twin \(\Q$_\E\) /m, "told apart by their ids: $_") for $tenant, $other;
like(succeeds($node, 'd', [ 'coverage', @as_of, '--format', 'csv' ], 'both in CSV'), qr/^\Q$tenant\E,Twin,/m, 'where the id stands anyway');
fails_with($node, 'd', [ 'explain', '--tenant', 'Twin' ], 2, qr/several tenants are called "Twin", $tenant and $other among them/, 'two tenants of one name');

# ---- rights

$node->safe_psql('d', 'CREATE ROLE stranger LOGIN');
fails_with($node, 'd', [ 'check', '-U', 'stranger' ], 3, qr/permission denied: user "stranger" may not read any inventory/, 'no right on any inventory');
fails_with($node, 'd', [ 'check', '-U', 'stranger', '--inventory', 'asset.device' ], 3, qr/permission denied/, 'nor on one that is named');
fails_with($node, 'd', [ 'explain', '-U', 'stranger', '--inventory', 'asset.device', '--tenant', $tenant ], 3, qr/permission denied/, 'nor on tenants');
fails_with($node, 'd', [ 'import', 'oui', '-U', 'stranger', write_file("$dir/oui.csv",
	"Registry,Assignment,Organization Name,Organization Address\r\nMA-L,00074D,\"Example, Inc.\",Somewhere\r\n") ], 3, qr/permission denied/, 'nor to load anything');

# ---- the other imports

is(succeeds($node, 'd', [ 'import', 'oui', "$dir/oui.csv" ], 'import oui'), "$dir/oui.csv: 1 blocks of MA-L\n", 'it says what came');
is($node->safe_psql('d', q{SELECT eiot.oui_vendor('00:07:4d:11:22:33')}), 'Example, Inc.', 'and it is there');
fails_with($node, 'd', [ 'import', 'oui', write_file("$dir/wrong.csv", "a,b\n1,2\n") ], 2, qr/not a registry of IEEE/, 'not a registry');
my $mixed = write_file("$dir/mixed.csv", "Registry,Assignment,Organization Name,Organization Address\nMA-M,123456,Short,Here\n");
fails_with($node, 'd', [ 'import', 'oui', '-q', "$dir/oui.csv", $mixed ], 2, qr/"\Q$mixed\E": not an assignment of registry MA-M/, 'a registry with something wrong in it');
SKIP:
{
	skip 'ieee-data is not installed', 2 unless -e '/usr/share/ieee-data/oui.csv';
	like(succeeds($node, 'd', [ 'import', 'oui' ], 'the registries of Debian'), qr/blocks of MA-L\n.*blocks of MA-M\n.*blocks of MA-S\n.*blocks of IAB\n/s, 'all four');
}

my $recog = write_file("$dir/recog.xml", <<'END');
<?xml version="1.0" encoding="UTF-8"?>
<fingerprints matches="html_title" protocol="http">
 <fingerprint pattern="^Acme Turnstile (\S+)">
  <description>Acme turnstiles</description>
  <param pos="0" name="hw.device" value="Printer"/>
 </fingerprint>
</fingerprints>
END
is(succeeds($node, 'd', [ 'import', 'fingerprints', $recog ], 'import fingerprints'), "$recog: 1 fingerprints\n", 'it says what came');
my $broken = write_file("$dir/broken.xml", slurp_file($recog) =~ s/\(\\S\+\)/(\\S+/r);
my $before = state_of($node, 'd', 'eiot.fingerprint');
fails_with($node, 'd', [ 'import', 'fingerprints', '-q', $recog, $broken ], 2, qr/"\Q$broken\E": .*pattern/, 'a pattern that does not compile');
fails_with($node, 'd', [ 'import', 'fingerprints', '-q', $recog, write_file("$dir/cut.xml", '<fingerprints matches="x">') ], 2, qr/xml/i, 'a document that is cut off');
is(state_of($node, 'd', 'eiot.fingerprint'), $before, 'nothing of either is there');

$node->safe_psql('d', 'DELETE FROM eiot.entitlement; UPDATE eiot.tenant SET entitlements_as_of = NULL');
my @licenses = ('import', 'licenses', '--tenant', $tenant);
like(succeeds($node, 'd', [ @licenses, @as_of, "$data/fabrikam/subscribedSkus.json" ], 'import licenses'),
	qr/\Apart number  change .*\nSPE_E5 +added +240 /s, 'it shows what changed');
is(succeeds($node, 'd', [ @licenses, @as_of, '-' ], 'the same body from standard input', stdin => slurp_file("$data/fabrikam/subscribedSkus.json")),
	"nothing changed\n", 'changes nothing');
$before = state_of($node, 'd', 'eiot.entitlement', 'eiot.tenant', 'eiot.sku');
for (
	[ 'graph-error', qr{bad/graph-error\.json": payload is an error message} ],
	[ 'machines', qr/not a body of subscribedSkus/ ],
	[ 'subscribedSkus-negative-units', qr/not a number of units/ ],
	[ 'subscribedSkus-fractional-units', qr/not a number of units/ ],
	[ 'subscribedSkus-missing-skuId', qr/None of its 1 rows has a member "skuId"/ ],
	[ 'subscribedSkus-missing-prepaidUnits', qr/no prepaidUnits/ ])
{
	fails_with($node, 'd', [ @licenses, "$data/bad/$_->[0].json" ], 2, $_->[1], "licenses: $_->[0]");
}
fails_with($node, 'd', [ @licenses, '--as-of', '2026-08-01', "$data/fabrikam/subscribedSkus-241.json" ], 2, qr/already imported/, 'an older body');
fails_with($node, 'd', [ @licenses, "$dir/missing.json" ], 2, qr/could not open ".*missing\.json": No such file/, 'licenses: a file that is not there');
fails_with($node, 'd', [ @licenses, $dir ], 2, qr/Is a directory/, 'licenses: a directory');
fails_with($node, 'd', [ @licenses, '-' ], 2, qr/"standard input" is empty/, 'licenses: nothing');
fails_with($node, 'd', [ @licenses, '-' ], 2, qr/"standard input": invalid input syntax for type json/, 'licenses: cut off', stdin => '{"value": [');
fails_with($node, 'd', [ @licenses, '-' ], 2, qr/is not UTF-8/, 'licenses: Latin-1', stdin => qq({"value": "\xe9"}));
is(state_of($node, 'd', 'eiot.entitlement', 'eiot.tenant', 'eiot.sku'), $before, 'nothing of these has changed anything');

# ---- the report

$node->safe_psql('d', "UPDATE eiot.tenant SET name = '<script>x</script>' WHERE tenant_id = '$tenant'");
succeeds($node, 'd', [ 'report', '-o', "$dir/report.html", '--period', '2026-08' ], 'a report of a month');
like(slurp_file("$dir/report.html"), qr/\A<!DOCTYPE html>.*<\/html>\s*\z/si, 'it is a whole page');
unlike(slurp_file("$dir/report.html"), qr/<script>x/, 'names are text in it');
like(succeeds($node, 'd', [ 'report', '-o', '-', '--tenant', $other, '--period', '2026-08-01..2026-08-31' ], 'a report of days to standard output'), qr/\A<!DOCTYPE html>/i, 'the page');
write_file("$dir/report.html", 'kept');
fails_with($node, 'd', [ 'report', '-o', "$dir/report.html", '--period', '2026-13' ], 2, qr/date\/time field value out of range: "2026-13-01"\. Times are written as/, 'a month that is none');
is(slurp_file("$dir/report.html"), 'kept', 'the old page is still there');
is_deeply([ glob "$dir/*.part" ], [], 'and nothing beside it');

# Whoever reads goes away: head(1) behind the first line is no error to tell, but no success either.
{
	local %ENV = (%ENV, PGHOST => $host, PGPORT => $port, PGDATABASE => 'd');
	$node->safe_psql('d', "INSERT INTO eiot.tenant SELECT gen_random_uuid(), repeat('x', 200) || n FROM generate_series(1, 2000) n");
	my $piped = `( { eiot coverage; echo "status \$?" >&2; } | head -1 >/dev/null ) 2>&1`;
	is($piped, "status 3\n", 'coverage | head -1');
	$piped = `( { eiot report -o -; echo "status \$?" >&2; } | head -1 >/dev/null ) 2>&1`;
	is($piped, "status 3\n", 'report | head -1');
	my $began = time;
	$piped = `( { timeout 30 eiot watch -q; echo "status \$?" >&2; } | true ) 2>&1`;
	is($piped, "status 3\n", 'watch does not wait for something to print when nobody reads it');
	cmp_ok(time - $began, '<', 30, 'and ends by itself');
	like(`timeout -s INT --preserve-status 3 eiot watch 2>&1 >/dev/null`, qr/\Aeiot: no inventory is watched in database "d", so nothing will be flagged: SELECT eiot\.watch\('asset\.device'\)\n\z/,
		'it says where nothing will come');
	is(`timeout -s INT --preserve-status 1 eiot watch -q 2>&1; echo \$?`, "0\n", '-q does not');
	$node->safe_psql('d', "SELECT eiot.watch('asset.device')");
	is(`timeout -s INT --preserve-status 1 eiot watch 2>&1; echo \$?`, "0\n", 'nor where something is watched');
}

$node->stop;
done_testing();
