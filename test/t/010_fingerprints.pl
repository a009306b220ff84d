# Fingerprints where pgTAP cannot go: other encodings, parallel workers, patterns that explode under a timeout, dump and
# restore, and the memory of a backend.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use EiotTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_cluster('fingerprints', 'max_parallel_workers = 4', 'max_worker_processes = 8');
my $dir = PostgreSQL::Test::Utils::tempdir();

# What is generous for a statement that was told to end.
my $patience = 5;

sub new_db
{
	my ($db, $options) = @_;
	$options //= '';
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0 $options");
	$node->safe_psql($db, 'SET client_min_messages = warning; CREATE EXTENSION eiot CASCADE');
	return;
}

# In and out in UTF-8, whatever the database has; the letters of this file are bytes to Perl.
sub ask
{
	my ($db, $sql) = @_;
	return $node->safe_psql($db, "SET client_encoding = 'UTF8';\n$sql");
}

# Differences, not all the lines.
sub same_lines
{
	my ($got, $expected, $name) = @_;
	return pass($name) if $got eq $expected;
	fail($name);
	my (%got, %expected);
	$got{$_}++ for split /\n/, $got;
	$expected{$_}++ for split /\n/, $expected;
	my @diff = ((map { "- $_" } grep { !$got{$_} } sort keys %expected), (map { "+ $_" } grep { !$expected{$_} } sort keys %got));
	splice @diff, 8 if @diff > 8;
	diag(@diff ? join("\n", map { substr $_, 0, 300 } @diff) : 'the same lines in another order or number');
	return;
}

# ---- encodings

# Columns of eiot.fingerprint; the letters are those of LATIN1.
my $latin_rules = q{
	(1, '^caf(é|è)[/ ](.+)$', '{REG_ICASE}', '[{"pos": 0, "name": "hw.vendor", "value": "Nestlé & Söhne"}, {"pos": 0, "name": "hw.device", "value": "Printer"}, {"pos": 2, "name": "hw.model"}]',
	 '[{"text": "café/Größe", "expected": {"hw.model": "Größe"}}, {"base64": "Y2Fm6S94", "expected": {"hw.model": "x"}}]'),
	(2, '^\xfcber (\w+)$', '{}', '[{"pos": 0, "name": "hw.vendor", "value": "hex"}, {"pos": 1, "name": "hw.model"}]', '[]'),
	(3, '^.{3}$', '{}', '[{"pos": 0, "name": "hw.vendor", "value": "three"}]', '[]'),
	(4, '£([0-9]+)°', '{}', '[{"pos": 0, "name": "hw.vendor", "value": "degrees"}, {"pos": 0, "name": "hw.product", "value": "£{n}°"}, {"pos": 1, "name": "n"}]', '[]'),
	(5, '§', '{}', '[{"pos": 0, "name": "hw.vendor", "value": "§"}]', '[]'),
	(6, 'plain (.*)', '{}', '[{"pos": 1, "name": "hw.product"}]', '[]')};
my @latin = ('café/Größe', 'CAFÉ Größe', 'cafè/é', 'über alles', 'ÜBER alles', 'äöü', 'äö', 'ßßß', 'für £20° warm', '£°', '§ 1', 'plain text', 'plain Öl', '');

# EUC_JP has Japanese, Greek, Cyrillic, and the accents of JIS X 0212.
my $japanese_rules = q{
	(1, '^caf(カメラ|é)[/　](.+)$', '{REG_ICASE}', '[{"pos": 0, "name": "hw.vendor", "value": "会社"}, {"pos": 0, "name": "hw.device", "value": "Printer"}, {"pos": 2, "name": "hw.model"}]',
	 '[{"text": "cafカメラ/型番", "expected": {"hw.model": "型番"}}]'),
	(2, '^\x{30ab}(\w*)', '{}', '[{"pos": 0, "name": "hw.vendor", "value": "hex"}, {"pos": 1, "name": "hw.model"}]', '[]'),
	(3, '^.{3}$', '{}', '[{"pos": 0, "name": "hw.vendor", "value": "three"}]', '[]'),
	(4, '東([^京]*)京', '{}', '[{"pos": 0, "name": "hw.vendor", "value": "京"}, {"pos": 0, "name": "hw.product", "value": "[{n}]東"}, {"pos": 1, "name": "n"}]', '[]'),
	(5, 'жук', '{REG_ICASE}', '[{"pos": 0, "name": "hw.vendor", "value": "Жук"}]', '[]'),
	(6, 'plain (.*)', '{}', '[{"pos": 1, "name": "hw.product"}]', '[]')};
my @japanese = ('cafカメラ/モデル', 'CAFé　型番', 'caf/', 'カメラ', 'ΑΒΓ', 'ЖУК и', 'ab', '東北の京', 'plain 東京', 'plain text', '§ 1', 'über');

new_db('utf8', q{ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'});
new_db('latin1', q{ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'});
new_db('euc_jp', q{ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C'});

# What identify says of each of the evidences, directly and as JSON, and all attributes; and of the examples.
sub verdicts
{
	my ($db, $rules, @evidence) = @_;
	my $values = join ', ', map { "($_, \$e\$$evidence[$_]\$e\$)" } 0 .. $#evidence;
	return ask($db, qq{
		DELETE FROM eiot.fingerprint WHERE kind = 'letters';
		INSERT INTO eiot.fingerprint (kind, ordinal, pattern, flags, params, examples)
		SELECT 'letters', v.ordinal, v.pattern, v.flags::text[], v.params::jsonb, v.examples::jsonb FROM (VALUES $rules) v(ordinal, pattern, flags, params, examples);
		SELECT v.evidence, i.class, i.device_type, i.vendor, i.product, j = i
		  FROM (VALUES $values) v(n, evidence)
		 CROSS JOIN LATERAL eiot.identify('letters', v.evidence) i
		 CROSS JOIN LATERAL eiot.identify(jsonb_build_object('letters', v.evidence)) j ORDER BY v.n;
		SELECT m.attributes FROM (VALUES $values) v(n, evidence) CROSS JOIN LATERAL eiot.match_fingerprint('letters', v.evidence) m ORDER BY v.n;
		SELECT evidence, problem, expected, found FROM eiot.check_fingerprints('letters')});
}

my $utf8 = verdicts('utf8', $latin_rules, @latin);
like($utf8, qr/^café\/Größe\|iot\|Printer\|Nestlé & Söhne\|Größe\|t$/m, 'UTF8: constants and captures');
like($utf8, qr/^CAFÉ Größe\|iot\|/m, 'UTF8: letters without case');
like($utf8, qr/^über alles\|unknown\|\|hex\|alles\|t$/m, 'UTF8: a letter by its number');
like($utf8, qr/^äöü\|unknown\|\|three\|\|t$/m, 'UTF8: letters are counted, not bytes');
like($utf8, qr/^für £20° warm\|unknown\|\|degrees\|£20°\|t$/m, 'UTF8: templates');
is(verdicts('latin1', $latin_rules, @latin), $utf8, 'LATIN1: the same verdicts, attributes and examples');
$utf8 = verdicts('utf8', $japanese_rules, @japanese);
like($utf8, qr/^cafカメラ\/モデル\|iot\|Printer\|会社\|モデル\|t$/m, 'UTF8: Japanese');
like($utf8, qr/^カメラ\|unknown\|\|hex\|/m, 'UTF8: a letter of three bytes by its number');
like($utf8, qr/^ΑΒΓ\|unknown\|\|three\|/m, 'UTF8: Greek ones are counted');
like($utf8, qr/^東北の京\|unknown\|\|京\|\[北の\]東\|t$/m, 'UTF8: templates of them');
is(verdicts('euc_jp', $japanese_rules, @japanese), $utf8, 'EUC_JP: the same verdicts, attributes and examples');

# A document in UTF-8, which it is in any case. PostgreSQL's XML functions take letters beyond ASCII in UTF-8 databases
# alone; elsewhere such a document is refused, and rules with such letters are inserted.
my $document = q{<?xml version="1.0" encoding="UTF-8"?>
<fingerprints matches="document"><fingerprint pattern="^é(.*)"><description>é</description>
<example hw.model="é&#233;">éé&#233;</example><param pos="0" name="hw.vendor" value="é&#xe9;"/><param pos="1" name="hw.model"/></fingerprint></fingerprints>};
for my $db (qw(utf8 latin1 euc_jp))
{
	my ($ret, $out, $err) = $node->psql($db, qq{
		SET client_encoding = 'UTF8';
		SELECT eiot.load_fingerprints(\$d\$$document\$d\$::xml);
		SELECT pattern, description, params -> 0 ->> 'value', examples FROM eiot.fingerprint WHERE kind = 'document';
		SELECT vendor, product FROM eiot.identify('document', 'éxé');
		SELECT count(*) FROM eiot.check_fingerprints('document')});
	if ($db ne 'utf8')
	{
		like($err, qr/ERROR/, "$db: a document with letters beyond ASCII is refused");
		is($node->safe_psql($db, q{SELECT count(*) FROM eiot.fingerprint WHERE kind = 'document'}), '0', "$db: and leaves nothing");
		next;
	}
	is("$out$err", qq{1\n^é(.*)|é|éé|[{"text": "ééé", "expected": {"hw.model": "éé"}}]\néé|xé\n0}, "$db: a document with letters beyond ASCII is loaded");
}

# Bytes that are no text stay bytes, in any encoding.
for my $db (qw(utf8 latin1 euc_jp))
{
	is( ask($db, q{
			SELECT eiot.load_fingerprints('<fingerprints matches="test.bytes"><fingerprint pattern="^\xff\x00(\w+)\xe9"><param pos="1" name="hw.model"/><example _encoding="base64" hw.model="abc">/wBhYmPp</example></fingerprint></fingerprints>');
			SELECT count(*) FROM eiot.check_fingerprints('test.bytes');
			SELECT attributes FROM eiot.match_fingerprint('test.bytes', '\xff00616263e9'::bytea);
			SELECT count(*) FROM eiot.check_fingerprints()}),
		qq{1\n0\n{"hw.model": "abc"}\n0}, "$db: bytes, and every example of the starter set");
}

# ---- parallel workers

new_db('many');
$node->safe_psql('many', q{
CREATE TABLE evidence AS
SELECT i AS id, (ARRAY['debut/1.30', 'App-webs/', 'WAGO_Webs', 'nothing of it', 'A-B WWW/0.1', 'nothing ' || i, 'Roku/' || i % 7 || '.0 UPnP/1.0 Roku/1'])[1 + i % 7] AS header,
       macaddr '00:00:5e:00:00:00' | ('00:00:00:00:' || lpad(to_hex(i % 256), 2, '0') || ':00')::macaddr AS mac
  FROM generate_series(1, 20000) i;
ANALYZE evidence;
INSERT INTO eiot.oui (prefix, bits, vendor, registry) VALUES ('00:00:5e:00:00:00', 24, 'Numbers', 'MA-L')});
my $parallel = q{
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
};
my $alone = q{SET max_parallel_workers_per_gather = 0;};
my $sums = q{SELECT count(*), count(i.fingerprint), count(*) FILTER (WHERE i.class = 'iot'), sum(i.certainty), sum(i.fingerprint), sum(length(i.product)),
	count(eiot.oui_vendor(mac)) FROM evidence e CROSS JOIN LATERAL (SELECT (eiot.identify('http_header.server', e.header)).*) i};
my $json = q{SELECT count(*), count((eiot.identify(jsonb_build_object('http_header.server', header))).fingerprint) FROM evidence};
like($node->safe_psql('many', "$parallel EXPLAIN (COSTS OFF) $sums"), qr/Partial Aggregate.*Parallel Seq Scan on evidence/s, 'identify runs in workers');
like($node->safe_psql('many', "$parallel EXPLAIN (COSTS OFF) $json"), qr/Partial Aggregate/, 'of several pieces of evidence, too');
my $serial = $node->safe_psql('many', "$alone $sums");
like($serial, qr/^20000\|\d{4,}\|\d{4,}\|/, 'there is something to identify');
is($node->safe_psql('many', "$parallel $sums"), $serial, 'workers: the same');
is($node->safe_psql('many', "$parallel $json"), $node->safe_psql('many', "$alone $json"), 'workers: the same of JSON');
my $own = q{INSERT INTO eiot.fingerprint (fingerprint_id, kind, pattern, params) VALUES (7000001, 'http_header.server', '^nothing', '[{"pos": 0, "name": "hw.device", "value": "Printer"}, {"pos": 0, "name": "hw.product", "value": "own"}]');
UPDATE eiot.device_type SET class = 'ot' WHERE device_type = 'PLC'; UPDATE eiot.oui SET prefix = '00:00:5f:00:00:00';};
my $changed = $node->safe_psql('many', "BEGIN; $own $alone $sums; ROLLBACK;");
isnt($changed, $serial, 'other rules: other sums');
is($node->safe_psql('many', "BEGIN; $own $parallel $sums; ROLLBACK;"), $changed, 'workers see the rules of their transaction');
is($node->safe_psql('many', "BEGIN; $parallel $sums; $own $sums; ROLLBACK; $sums"), "$serial\n$changed\n$serial", 'from the next statement on, and not after a rollback');
is($node->safe_psql('many', "$parallel $sums; BEGIN; SAVEPOINT s; $own $sums; ROLLBACK TO s; $sums; COMMIT; $alone $sums"),
	"$serial\n$changed\n$serial\n$serial", 'nor after a savepoint was rolled back');
is($node->safe_psql('many', "BEGIN ISOLATION LEVEL REPEATABLE READ; $parallel $sums; $alone $sums; COMMIT"), "$serial\n$serial", 'in a transaction with one snapshot');

# ---- patterns made to explode

new_db('explode');
$node->safe_psql('explode', q{
INSERT INTO eiot.fingerprint (fingerprint_id, kind, ordinal, pattern, params)
SELECT r.id, r.kind, r.ordinal, r.pattern, r.params::jsonb FROM (
SELECT 1000 + i, 'rules', i, '^(?:a+){' || i || ',}$', '[]' FROM generate_series(1, 200) i
UNION ALL SELECT 2001, 'one', 1, '^(?:a+)+$', '[]'
UNION ALL SELECT 2002, 'one', 2, '!$', '[{"pos": 0, "name": "hw.product", "value": "next"}]'
-- Each place costs little, all together the square.
UNION ALL SELECT 3001, 'square', 1, '(a)\w*?\1x?$', '[]'
UNION ALL SELECT 4001, 'template', 1, 'x', jsonb_build_array(jsonb_build_object('pos', 0, 'name', 'hw.product', 'value', repeat('{hw.product}', 40)))::text) r(id, kind, ordinal, pattern, params);
});

# Runs a statement that must be told to end; true if it was in time.
sub ends_in_time
{
	my ($what, $sql, %params) = @_;
	my $started = time;
	my ($ret, $out, $err) = $node->psql('explode', "SET statement_timeout = '500ms';\n$sql", timeout => 180);
	my $seconds = time - $started;
	$err =~ s/\n(?:DETAIL|HINT).*//g;
	ok($seconds < $patience, sprintf('%s: ended after %.1f s', $what, $seconds));
	like($err, qr/canceling statement due to statement timeout/, "$what: by the timeout") unless $params{may_end};
	return $err;
}

my $warnings = ends_in_time('200 rules that explode', q{SELECT * FROM eiot.identify('rules', repeat('a', 60) || '!')});
unlike($warnings, qr/ERROR:  (?!canceling)/, 'no other error');
ends_in_time('the same over many rows', q{SELECT count(eiot.identify('rules', repeat('a', 60 + i) || '!')) FROM generate_series(1, 1000) i});
ends_in_time('a cost of squares', q{SELECT eiot.identify('square', repeat('a', 100000) || '!')}, may_end => 1);
ends_in_time('a template that names itself 40 times', q{SELECT eiot.identify('template', 'x')}, may_end => 1);

my ($ret, $out, $err) = $node->psql('explode', q{
	SELECT fingerprint, product FROM eiot.identify('one', repeat('a', 60) || '!');
	SELECT fingerprint, product FROM eiot.identify('one', repeat('a', 60) || '!')});
is($out, "2002|next\n2002|next", 'the next rule is tried');
is(() = $err =~ /WARNING:  fingerprint 2001 is taken as not matching: match limit exceeded/g, 1, 'the one that exploded is told of, once');

# The same by pg_cancel_backend: pid first, then the statement that does not end by itself soon.
{
	my ($in, $text) = ("SELECT 'pid', pg_backend_pid();\nSELECT * FROM eiot.identify('rules', repeat('a', 60) || '!');\n\\q\n", '');
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('explode') ], '<', \$in, '&>', \$text, IPC::Run::timeout(180));
	my $started = time;
	$psql->pump until $text =~ /^pid\|(\d+)$/m;
	my ($pid) = $text =~ /^pid\|(\d+)$/m;
	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND state = 'active' AND query LIKE '%identify%')");
	sleep 0.5;
	$started = time;
	is($node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)"), 't', 'a backend is canceled');
	$psql->finish;
	my $seconds = time - $started;
	ok($seconds < $patience, sprintf('it ended after %.1f s', $seconds));
	like($text, qr/canceling statement due to user request/, 'for that reason');
}

# Told to end while it reads the address blocks for the first time: the next statement reads them.
$node->safe_psql('explode', q{INSERT INTO eiot.oui SELECT lpad(to_hex(i::bigint << 24), 12, '0')::macaddr, 24, 'Vendor ' || i, 'MA-L' FROM generate_series(1, 100000) i});
($ret, $out, $err) = $node->psql('explode', q{
	SET statement_timeout = '2ms';
	SELECT eiot.oui_vendor('00:00:01:00:00:00');
	SET statement_timeout = 0;
	SELECT eiot.oui_vendor('00:00:01:00:00:00')}, on_error_stop => 0);
like($err, qr/canceling statement due to statement timeout/, 'address blocks are not read to the end');
is($out, 'Vendor 1', 'and are read by the next statement');

# ---- dump and restore

new_db('original');
$node->safe_psql('original', q{
SELECT eiot.load_fingerprints('<fingerprints matches="http_header.server" preference="0.7"><fingerprint pattern="^Loaded/(\d+)"><description>loaded</description><param pos="0" name="hw.device" value="Printer"/><param pos="1" name="hw.model"/><example hw.model="7">Loaded/7</example></fingerprint></fingerprints>');
SELECT eiot.load_fingerprints('<fingerprints matches="own.kind"><fingerprint pattern="a\tb &lt;\\&gt;" flags="REG_ICASE,REG_MULTILINE"/><fingerprint pattern="c"/></fingerprints>');
INSERT INTO eiot.fingerprint (kind, ordinal, pattern, flags, description, params) VALUES
  ('html_title', 5, 'own\s(\w+)', '{REG_ICASE}', E'a\ttab', '[{"pos": 0, "name": "hw.device", "value": "Kettle"}, {"pos": 1, "name": "hw.product"}]');
INSERT INTO eiot.device_type (device_type, class, reason) VALUES ('Kettle', 'bms', 'boils');
UPDATE eiot.device_type SET class = 'ot' WHERE device_type = 'NAS';
SELECT eiot.load_oui('MA-L', E'Registry,Assignment,Organization Name,Organization Address\nMA-L,AC0001,"Wide, Ltd",x\n');
SELECT eiot.load_oui('MA-S', E'Registry,Assignment,Organization Name,Organization Address\nMA-S,AC0001123,Small,x\n')});

my $rows = q{
SELECT 'fingerprint', f FROM eiot.fingerprint f ORDER BY f.fingerprint_id;
SELECT 'kind', k FROM eiot.fingerprint_kind k ORDER BY k.kind;
SELECT 'type', t FROM eiot.device_type t ORDER BY t.device_type;
SELECT 'oui', o FROM eiot.oui o ORDER BY o.prefix, o.bits;
SELECT 'in use', kind, count(*) FROM eiot.fingerprint_in_use GROUP BY kind ORDER BY kind;
SELECT 'says', eiot.identify(v.kind, v.evidence) FROM (VALUES ('http_header.server', 'Loaded/7'), ('http_header.server', 'debut/1.30'), ('html_title', 'own title'),
  ('html_title', 'QNAP Turbo NAS'), ('own.kind', 'c')) v(kind, evidence);
SELECT 'vendor', mac, eiot.oui_vendor(mac) FROM unnest('{ac:00:01:00:00:01,ac:00:01:12:30:01,ac:00:02:00:00:01}'::macaddr[]) mac;
SELECT 'check', c FROM eiot.check_fingerprints() c;
};
my $was = $node->safe_psql('original', $rows);
my $starters = $node->safe_psql('original', q{SELECT count(*) FROM eiot.fingerprint WHERE origin = 'starter'});
ok($was =~ /^says\|\(bms,Kettle,,title,0\.85,\d+\)$/m, 'the original answers');
for my $format ([ 'plain', 'p' ], [ 'custom', 'c' ])
{
	my ($name, $letter) = @$format;
	$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	$node->command_ok([ 'pg_dump', "-F$letter", '-f', "$dir/$name", 'original' ], "$name: dumped");
	$node->command_ok($letter eq 'p'
		? [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $name, '-o', "$dir/out", '-f', "$dir/$name" ]
		: [ 'pg_restore', '--exit-on-error', '-d', $name, "$dir/$name" ], "$name: restored");
	same_lines($node->safe_psql($name, $rows), $was, "$name: the same rules, classes and blocks, and the same answers");
	is($node->safe_psql($name, q{SELECT count(*) FROM eiot.fingerprint WHERE origin = 'starter'}), $starters, "$name: the starter set once");
	is($node->safe_psql($name, q{
			INSERT INTO eiot.fingerprint (kind, pattern) VALUES ('own.kind', 'new') RETURNING fingerprint_id > (SELECT max(fingerprint_id) FROM eiot.fingerprint)}),
		't', "$name: keys go on where they were");
}
my $dump = slurp_file("$dir/plain");
unlike($dump, qr/\tstarter\t/, 'nothing of the starter set is dumped');
like($dump, qr/\tloaded\tt\n/, 'what was loaded is');

# A rule of the starter set that somebody changed: it is theirs from then on, or they were not let.
my %changes = (
	'a rule of the starter set changed' => q{UPDATE eiot.fingerprint SET pattern = '^Ours (.*)' WHERE fingerprint_id = -1},
	'a rule of the starter set made one of the user' => q{UPDATE eiot.fingerprint SET origin = 'user', shipped = false, pattern = '^Ours (.*)' WHERE fingerprint_id = -1});
my $n = 0;
for my $change (sort keys %changes)
{
	my ($from, $to) = ('changed' . ++$n, "back$n");
	new_db($from);
	my ($refused) = $node->psql($from, $changes{$change}, on_error_stop => 1);
	if ($refused)
	{
		pass("$change: is refused");
		next;
	}
	$node->safe_psql('postgres', "CREATE DATABASE $to TEMPLATE template0");
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/$from", $from ], "$change: is dumped");
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $to, "$dir/$from" ], "$change: is restored");
	my $first = q{SELECT count(*), min(pattern) FROM eiot.fingerprint WHERE fingerprint_id = -1};
	is($node->safe_psql($to, $first), $node->safe_psql($from, $first), "$change: is so again");
}

# ---- memory

SKIP:
{
	skip 'there is no /proc/self/status', 3 unless -r '/proc/self/status';
	new_db('memory');
	# 3,500 rules in 35 kinds of different sizes, like those that are published: a literal or two, captures, alternatives.
	$node->safe_psql('memory', q{
		CREATE TABLE rule AS
		SELECT i, 'kind.' || floor(35 * ((i - 0.5) / 3500) ^ 0.5)::integer AS kind, substr(md5(i::text), 1, 9) AS word, substr(md5((i + 7000)::text), 1, 6) AS other
		  FROM generate_series(1, 3500) i;
		INSERT INTO eiot.fingerprint (kind, ordinal, pattern, flags, description, params)
		SELECT kind, i,
		       CASE i % 5 WHEN 0 THEN format('^%s (?:Series|Model)[ -]([\w.-]+)', word)
		                  WHEN 1 THEN format('^(?:%s|%s)[/ _]v?(\d+(?:\.\d+)*)(?:\s\(([^)]+)\))?$', word, other)
		                  WHEN 2 THEN format('^.*\b%s ([^,;]+)[,;] (?:Version|Firmware|Software) ([^\s,]+)', word)
		                  WHEN 3 THEN format('%s\s+(\S+)\s+(?:\d{1,3}\.){3}\d{1,3}$', word)
		                  ELSE format('^(?i:%s)-(\w{2,8}) .{0,60}%s', word, other) END,
		       CASE WHEN i % 7 = 0 THEN '{REG_ICASE}'::text[] ELSE '{}' END, 'Rule number ' || i || ' of many',
		       '[{"pos": 0, "name": "hw.vendor", "value": "Some Vendor"}, {"pos": 0, "name": "hw.device", "value": "Printer"}, {"pos": 1, "name": "hw.product"},
		         {"pos": 0, "name": "hw.cpe23", "value": "cpe:/h:some_vendor:{hw.product}:-"}, {"pos": 0, "name": "os.family", "value": "Embedded"}]'
		  FROM rule;
		CREATE TABLE evidence AS
		SELECT i, kind,
		       CASE i % 5 WHEN 0 THEN word || ' Series-X100' WHEN 1 THEN word || '/v1.2.3 (abc)' WHEN 2 THEN 'The ' || word || ' thing; Firmware 1.2'
		                  WHEN 3 THEN 'a ' || word || ' b 192.0.2.1' ELSE word || '-abcd and then ' || other END AS evidence
		  FROM rule});
	my ($before, $matched, $after, $again, $size) = split /\n/, $node->safe_psql('memory', q{
		SET max_parallel_workers_per_gather = 0;
		-- all kinds read before the first is matched in full
		SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)');
		SELECT count(eiot.identify(kind, 'nothing')) + (SELECT count((eiot.identify(kind, evidence)).fingerprint) FROM evidence) FROM (SELECT DISTINCT kind FROM rule) k;
		SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)');
		SELECT count((eiot.identify(kind, evidence)).fingerprint) FROM generate_series(1, 5) CROSS JOIN evidence;
		SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')});
	is($matched, 3500, 'all of 3,500 rules match');
	is($again, 5 * 3500, 'again and again');
	ok($after < 32 * 1024 && $size < 32 * 1024, "a backend takes $before kB before, $after kB after, $size kB at last")
	  or diag('more than 32 MB');
}

$node->stop;
done_testing();
