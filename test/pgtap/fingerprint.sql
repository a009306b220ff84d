-- Fingerprints: how documents are loaded and refused, which rule decides, what a match says, and that no rule is
-- passed over that would have matched.
\set ON_ERROR_STOP 1
BEGIN;
-- Rules that exceed their limits warn; what they warn of is seen in test/sql and test/t.
SET LOCAL client_min_messages = error;
SET LOCAL TimeZone = 'UTC';
SET LOCAL jit = off;

SELECT plan(401);

\ir lib/told.psql

CREATE FUNCTION pg_temp.load(recog text, kind text DEFAULT NULL) RETURNS bigint
  LANGUAGE sql
  RETURN eiot.load_fingerprints(recog::xml, kind);

-- The text form of what identify says, without the id.
CREATE FUNCTION pg_temp.verdict(kind text, evidence text) RETURNS text
  LANGUAGE sql
  RETURN (SELECT format('%s|%s|%s|%s|%s', i.class, i.device_type, i.vendor, i.product, i.certainty)
            FROM eiot.identify(kind, evidence) i WHERE i.fingerprint IS NOT NULL);

-- What the rule that decided is described as.
CREATE FUNCTION pg_temp.decided(kind text, evidence text) RETURNS text
  LANGUAGE sql
  RETURN (SELECT f.description FROM eiot.fingerprint f
           WHERE f.fingerprint_id = (eiot.identify(decided.kind, decided.evidence)).fingerprint);

CREATE FUNCTION pg_temp.attributes(kind text, evidence text) RETURNS jsonb
  LANGUAGE sql
  RETURN (eiot.match_fingerprint(kind, evidence)).attributes;

-- A rule of the user's own; params as {name: value}, or {name: n} for the n-th capture.
CREATE FUNCTION pg_temp.rule(kind text, pattern text, params jsonb DEFAULT '{}', flags text[] DEFAULT '{}',
                             ordinal integer DEFAULT 1, description text DEFAULT NULL, examples jsonb DEFAULT '[]') RETURNS bigint
  LANGUAGE plpgsql
AS $$
DECLARE
  id bigint;
BEGIN
  INSERT INTO eiot.fingerprint (kind, ordinal, pattern, flags, description, params, examples)
  SELECT rule.kind, rule.ordinal, rule.pattern, rule.flags, rule.description,
         COALESCE(jsonb_agg(CASE jsonb_typeof(p.value) WHEN 'number' THEN jsonb_build_object('pos', p.value, 'name', p.key)
                                 ELSE jsonb_build_object('pos', 0, 'name', p.key, 'value', p.value) END)
                  FILTER (WHERE p.key IS NOT NULL), '[]'),
         rule.examples
    FROM (SELECT) one LEFT JOIN jsonb_each(rule.params) p ON true
  RETURNING fingerprint_id INTO id;
  RETURN id;
END
$$;

-- Does the pattern match the evidence, as the only rule of its kind?
CREATE FUNCTION pg_temp.matches(pattern text, evidence text, flags text[] DEFAULT '{}') RETURNS boolean
  LANGUAGE plpgsql
AS $$
BEGIN
  DELETE FROM eiot.fingerprint f WHERE f.kind = 'one';
  PERFORM pg_temp.rule('one', pattern, flags => flags);
  RETURN (eiot.match_fingerprint('one', evidence)).fingerprint IS NOT NULL;
END
$$;

-- ==== the starter set

SELECT cmp_ok((SELECT count(*) FROM eiot.fingerprint WHERE origin = 'starter'), '>=', 60::bigint, 'there is a starter set');
SELECT is_empty('SELECT fingerprint_id FROM eiot.fingerprint WHERE origin = ''starter'' AND (NOT shipped OR fingerprint_id >= 0)',
                'its rules are shipped and have negative keys');
SELECT is_empty('SELECT fingerprint_id FROM eiot.fingerprint WHERE origin = ''starter'' AND COALESCE(description, '''') = ''''',
                'each says what it tells');
SELECT is_empty('SELECT fingerprint_id FROM eiot.fingerprint WHERE origin = ''starter'' AND examples = ''[]''', 'each has an example');
SELECT is_empty('SELECT * FROM eiot.check_fingerprints()', 'every example gives what it promises');
SELECT is_empty($$SELECT f.fingerprint_id, e FROM eiot.fingerprint f CROSS JOIN jsonb_array_elements(f.examples) e
                   WHERE f.origin = 'starter' AND (eiot.identify(f.kind, e ->> 'text')).fingerprint IS DISTINCT FROM f.fingerprint_id$$,
                'every example is decided by its own rule');
SELECT is_empty($$SELECT f.fingerprint_id, p ->> 'value' FROM eiot.fingerprint f CROSS JOIN jsonb_array_elements(f.params) p
                   WHERE f.origin = 'starter' AND p ->> 'name' IN ('hw.device', 'os.device')
                     AND NOT EXISTS (SELECT FROM eiot.device_type d WHERE d.device_type = p ->> 'value')$$,
                'every kind of device that it names is in eiot.device_type, spelled alike');
SELECT is_empty($$SELECT f.fingerprint_id, e FROM eiot.fingerprint f CROSS JOIN jsonb_array_elements(f.examples) e
                   WHERE f.origin = 'starter' AND (eiot.identify(f.kind, e ->> 'text')).class = 'unknown'$$,
                'and says a class');
SELECT cmp_ok((SELECT count(*) FROM eiot.device_type WHERE shipped), '>=', 115::bigint, 'at least 115 kinds of device');
SELECT is_empty('SELECT device_type FROM eiot.device_type WHERE btrim(reason) = ''''', 'each with a reason for its class');
SELECT is_empty($$SELECT lower(regexp_replace(device_type, '[ _-]', '', 'g')) FROM eiot.device_type GROUP BY 1 HAVING count(DISTINCT class) > 1$$,
                'no two spellings of one kind differ in class');

-- ==== loading a document

SELECT is(pg_temp.load($xml$<?xml version="1.0" encoding="UTF-8"?>
<!-- A comment before the root. -->
<fingerprints matches="test.load" protocol="test" database_type="service" preference="0.75">
  <!-- A comment between rules. -->
  <fingerprint pattern="^Acme Printer/(\d+)\.(\d+) &amp; &quot;more&quot;$" certainty="0.9">
    <description>Acme printer</description>
    <example hw.model="3" os.version="14">Acme Printer/3.14 &amp; "more"</example>
    <param pos="0" name="hw.vendor" value="Acme"/>
    <param pos="0" name="hw.device" value="Printer"/>
    <param pos="1" name="hw.model"/>
    <param pos="2" name="os.version"/>
    <param pos="0" name="os.cpe23" value="cpe:/o:acme:printer:{os.version}"/>
  </fingerprint>
  <fingerprint pattern="acme &lt;?camera" flags="REG_ICASE">
    <description>Acme camera
      on two lines</description>
    <example><![CDATA[the ACME <Camera>]]></example>
    <example>Acme Camera</example>
    <param pos="0" name="hw.device" value="IP Camera"/>
  </fingerprint>
  <fingerprint pattern="^b.c$" flags="REG_MULTILINE,REG_ICASE"/>
</fingerprints>$xml$), 3::bigint, 'a document is loaded, the number of its rules returned');

SELECT results_eq($$SELECT kind, ordinal, pattern, flags, origin, shipped FROM eiot.fingerprint WHERE kind = 'test.load' ORDER BY ordinal$$,
                  $$VALUES ('test.load', 1, '^Acme Printer/(\d+)\.(\d+) & "more"$', '{}'::text[], 'loaded', true),
                           ('test.load', 2, 'acme <?camera', '{REG_ICASE}', 'loaded', true),
                           ('test.load', 3, '^b.c$', '{REG_MULTILINE,REG_ICASE}', 'loaded', true)$$,
                  'its rules in their order, entities and flags read');
SELECT is((SELECT params FROM eiot.fingerprint WHERE kind = 'test.load' AND ordinal = 1),
          '[{"pos": 0, "name": "hw.vendor", "value": "Acme"}, {"pos": 0, "name": "hw.device", "value": "Printer"},
            {"pos": 1, "name": "hw.model"}, {"pos": 2, "name": "os.version"},
            {"pos": 0, "name": "os.cpe23", "value": "cpe:/o:acme:printer:{os.version}"}]'::jsonb, 'its parameters');
SELECT is((SELECT examples FROM eiot.fingerprint WHERE kind = 'test.load' AND ordinal = 1),
          '[{"text": "Acme Printer/3.14 & \"more\"", "expected": {"hw.model": "3", "os.version": "14"}}]'::jsonb, 'its examples');
SELECT is((SELECT params FROM eiot.fingerprint WHERE kind = 'test.load' AND ordinal = 3), '[]'::jsonb, 'a rule may set nothing');
SELECT is((SELECT preference FROM eiot.fingerprint_kind WHERE kind = 'test.load'), 0.75, 'the preference of its kind');
SELECT is(pg_temp.attributes('test.load', 'Acme Printer/3.14 & "more"'),
          '{"hw.vendor": "Acme", "hw.device": "Printer", "hw.model": "3", "os.version": "14", "os.cpe23": "cpe:/o:acme:printer:14"}'::jsonb,
          'a match gives all attributes: constants, captures, templates');
SELECT is(pg_temp.verdict('test.load', 'Acme Printer/3.14 & "more"'), 'iot|Printer|Acme|3|0.85', 'and a verdict');
SELECT is(pg_temp.decided('test.load', 'Acme Printer/3.14 & "more"'), 'Acme printer', 'that names its rule');
SELECT is(pg_temp.verdict('test.load', evidence), verdict, format('test.load says of %s', to_json(evidence)))
  FROM (VALUES ('acme printer/3.14 & "more"', NULL), ('Acme Printer/3.14 & "more" ', NULL), ('xAcme Printer/3.14 & "more"', NULL),
               ('an aCmE CaMeRa', 'iot|IP Camera|||0.85'), (E'x\nBxC\ny', 'unknown||||0.85'), (E'x\nb\nc\ny', 'unknown||||0.85'), (E'x\nbxc y', NULL),
               ('', NULL)) v(evidence, verdict);
SELECT is_empty($$SELECT * FROM eiot.check_fingerprints('test.load')$$, 'its examples hold');

-- ---- again: replaced

SELECT is(pg_temp.load('<fingerprints matches="test.load"><fingerprint pattern="other"><description>other</description></fingerprint></fingerprints>'),
          1::bigint, 'a second document of the kind');
SELECT results_eq($$SELECT pattern FROM eiot.fingerprint WHERE kind = 'test.load'$$, $$VALUES ('other')$$, 'replaces the rules of the first');
SELECT is(pg_temp.verdict('test.load', 'an acme camera'), NULL, 'which no longer match');
SELECT is(pg_temp.verdict('test.load', 'another'), 'unknown||||0.85', 'the new one does');
SELECT is((SELECT preference FROM eiot.fingerprint_kind WHERE kind = 'test.load'), 0.10, 'without a preference it is 0.10');
SELECT is(pg_temp.load('<fingerprints matches="test.other"><fingerprint pattern="x"/></fingerprints>'), 1::bigint, 'a document of another kind');
SELECT is((SELECT count(*) FROM eiot.fingerprint WHERE kind IN ('test.load', 'test.other')), 2::bigint, 'leaves the first alone');

-- ---- the kind

SELECT is(pg_temp.load('<fingerprints><fingerprint pattern="abc"/></fingerprints>', 'test.given'), 1::bigint, 'a document without matches, the kind given');
SELECT is(pg_temp.load('<fingerprints matches="test.said"><fingerprint pattern="abc"/></fingerprints>', 'test.given2'), 1::bigint, 'a given kind goes first');
SELECT is((SELECT string_agg(kind, ' ' ORDER BY kind) FROM eiot.fingerprint WHERE pattern = 'abc' AND origin = 'loaded'), 'test.given test.given2', 'over what the document says');
SELECT is(pg_temp.verdict('test.given', 'abc'), 'unknown||||0.85', 'and is the one to ask for');

-- ---- text of examples

SELECT is(pg_temp.load(format('<fingerprints matches="test.text"><fingerprint pattern="^two" flags="REG_MULTILINE">
  <example>one&#13;&#10;two</example>
  <example _encoding="base64">%s</example>
  <example _encoding="base64" hw.model="">
     %s
  </example>
  <example _encoding="base64">%s</example>
  <example _filename="somewhere/else.bin"/>
  <example>one%s
two</example>
  <example>%s</example>
</fingerprint></fingerprints>', encode(E'one\r\ntwo', 'base64'), encode('two', 'base64'), encode('\x6f6e650a74776fff00'::bytea, 'base64'), E'\r',
  convert_from('\x74776f20c3a9e282ac', 'UTF8'))), 1::bigint, 'examples in all forms');
SELECT results_eq($$SELECT e - 'expected' FROM eiot.fingerprint CROSS JOIN jsonb_array_elements(examples) WITH ORDINALITY x(e, n) WHERE kind = 'test.text' ORDER BY n$$,
                  $$VALUES ('{"text": "one\r\ntwo"}'::jsonb), ('{"text": "one\r\ntwo"}'), ('{"text": "two"}'), ('{"base64": "b25lCnR3b/8A"}'),
                           ('{"text": "one\ntwo"}'), ('{"text": "two \u00e9\u20ac"}')$$,
                  'CRLF where it is spelled, text out of base64, bytes stay bytes, those in other files are left out');
SELECT is((SELECT examples -> 2 -> 'expected' FROM eiot.fingerprint WHERE kind = 'test.text'), '{"hw.model": ""}'::jsonb, 'how it is encoded is no attribute');
SELECT is_empty($$SELECT * FROM eiot.check_fingerprints('test.text')$$, 'all are matched');

-- ---- templates

SELECT is(pg_temp.load('<fingerprints matches="test.template"><fingerprint pattern="^([a-z]+)(?:/(\d+))?$">
    <param pos="0" name="os.product" value="Product {os.family}"/>
    <param pos="1" name="os.family"/>
    <param pos="2" name="os.version"/>
    <param pos="0" name="os.cpe23" value="cpe:/o:v:{os.family}:{os.version}:{no.such}"/>
    <param pos="0" name="plain" value="[{os.version}{no.such}]"/>
    <param pos="0" name="nested" value="{os.product} of {level.1}"/>
    <param pos="0" name="level.1" value="{level.2}{level.2}"/>
    <param pos="0" name="level.2" value="&lt;{os.family}&gt;"/>
    <param pos="0" name="open" value="{os.family"/>
    <param pos="0" name="closed" value="os.family}"/>
    <param pos="0" name="empty" value="{}"/>
    <param pos="0" name="itself" value="a{itself}"/>
    <param pos="0" name="ping" value="{pong}"/>
    <param pos="0" name="pong" value="{ping}"/>
  </fingerprint></fingerprints>'), 1::bigint, 'templates');
SELECT is(pg_temp.attributes('test.template', evidence) ->> name, value, format('%s of %L', name, evidence))
  FROM (VALUES ('linux/26', 'os.product', 'Product linux'), ('linux/26', 'os.cpe23', 'cpe:/o:v:linux:26:-'), ('linux', 'os.cpe23', 'cpe:/o:v:linux:-:-'),
               ('linux/26', 'plain', '[26]'), ('linux', 'plain', '[]'), ('linux', 'nested', 'Product linux of <linux><linux>'),
               ('linux', 'open', '{os.family'), ('linux', 'closed', 'os.family}'), ('linux', 'empty', ''), ('linux', 'os.version', NULL)) v(evidence, name, value);
SELECT matches(pg_temp.attributes('test.template', 'linux') ->> 'itself', '^a+$', 'a template that names itself comes to an end');
SELECT is(pg_temp.attributes('test.template', 'linux') ->> 'ping', '', 'so do two that name each other');

-- ---- documents that are refused: told why, and nothing changes

CREATE TEMP TABLE before_refusal AS SELECT * FROM eiot.fingerprint;
CREATE TEMP TABLE kinds_before AS SELECT * FROM eiot.fingerprint_kind;

CREATE TEMP TABLE refused (n serial, what text, document text, kind text, code text, message text);
INSERT INTO refused (what, document, kind, code, message)
VALUES
  ('a pattern that does not compile', '<fingerprints matches="test.load"><fingerprint pattern="fine"/><fingerprint pattern="a(b"><description>unbalanced one</description></fingerprint></fingerprints>',
   NULL, '2201B', '%2%test.load%unbalanced one%'),
  ('a pattern that looks behind without bounds', '<fingerprints matches="test.load"><fingerprint pattern="(?&lt;=a*)b"><description>behind</description></fingerprint></fingerprints>',
   NULL, '2201B', '%test.load%behind%'),
  ('a pattern with \C', '<fingerprints matches="test.load"><fingerprint pattern="a\Cb"/></fingerprints>', NULL, '2201B', '%test.load%'),
  ('a capture that does not exist', '<fingerprints matches="test.load"><fingerprint pattern="a(?:b)(c)"><description>too far</description><param pos="2" name="hw.model"/></fingerprint></fingerprints>',
   NULL, '22023', '%1%test.load%too far%hw.model%'),
  ('an unknown flag', '<fingerprints matches="test.load"><fingerprint pattern="a" flags="REG_ICASE,REG_TURBO"><description>fast</description></fingerprint></fingerprints>',
   NULL, '22023', '%1%test.load%fast%REG_TURBO%'),
  ('a constant without a value', '<fingerprints matches="test.load"><fingerprint pattern="a"><description>poor</description><param pos="0" name="hw.model"/></fingerprint></fingerprints>',
   NULL, '22023', '%1%test.load%poor%hw.model%'),
  ('a parameter without a place', '<fingerprints matches="test.load"><fingerprint pattern="a"><description>lost</description><param name="hw.model"/></fingerprint></fingerprints>',
   NULL, '22023', '%1%test.load%lost%hw.model%'),
  ('a parameter without a name', '<fingerprints matches="test.load"><fingerprint pattern="(a)"><description>nameless</description><param pos="1"/></fingerprint></fingerprints>',
   NULL, '22023', '%1%test.load%nameless%'),
  ('a parameter at a negative place', '<fingerprints matches="test.load"><fingerprint pattern="(a)"><description>below</description><param pos="-1" name="hw.model"/></fingerprint></fingerprints>',
   NULL, '22023', '%1%test.load%below%'),
  ('an example in an unknown encoding', '<fingerprints matches="test.load"><fingerprint pattern="a"><example _encoding="rot13">n</example></fingerprint></fingerprints>',
   NULL, '22023', '%rot13%'),
  ('an example that is no base64', '<fingerprints matches="test.load"><fingerprint pattern="a"><example _encoding="base64">*</example></fingerprint></fingerprints>',
   NULL, '22023', '%'),
  ('another root', '<signatures matches="test.load"><fingerprint pattern="a"/></signatures>', NULL, '22023', '%Recog%'),
  ('the rules in another element', '<fingerprints matches="test.load"><group><fingerprint pattern="a"/></group></fingerprints>', NULL, '22023', '%Recog%'),
  ('no fingerprints', '<fingerprints matches="test.load"/>', NULL, '22023', '%Recog%'),
  ('fingerprints without patterns', '<fingerprints matches="test.load"><fingerprint/></fingerprints>', NULL, '22023', '%Recog%'),
  ('text', 'fingerprints', 'test.load', '22023', '%Recog%'),
  ('two elements', '<fingerprints matches="test.load"><fingerprint pattern="a"/></fingerprints><fingerprints/>', 'test.load', '22023', '%Recog%'),
  ('nothing', '', 'test.load', '22023', '%Recog%'),
  ('no kind', '<fingerprints><fingerprint pattern="a"/></fingerprints>', NULL, '22023', '%kind%'),
  ('an empty kind', '<fingerprints matches=""><fingerprint pattern="a"/></fingerprints>', NULL, '22023', '%kind%'),
  ('an empty kind given', '<fingerprints matches="test.load"><fingerprint pattern="a"/></fingerprints>', '', '22023', '%kind%'),
  ('null', NULL, NULL, '22004', '%null%'),
  ('null, with a kind', NULL, 'test.load', '22004', '%null%');

CREATE TEMP TABLE refusal AS
  SELECT r.*, (pg_temp.told(format('SELECT eiot.load_fingerprints(xmlparse(content %L), %L)', r.document, r.kind))).* FROM (SELECT n, what, document, kind, code AS wanted, message AS wanted_message FROM refused) r;
SELECT is(code, wanted, format('%s is refused', what)) FROM refusal ORDER BY n;
SELECT ok(message LIKE wanted_message, format('%s: the message says which: %s', what, message)) FROM refusal WHERE wanted_message <> '%' ORDER BY n;
SELECT matches((SELECT detail FROM refusal WHERE what = 'a pattern that does not compile'), 'a\(b', 'the pattern is shown');
SELECT matches((SELECT detail FROM refusal WHERE what = 'a capture that does not exist'), '1 capture', 'and how many captures there are');
SELECT matches((SELECT hint FROM refusal WHERE what = 'no kind'), 'second argument', 'a hint says where to name the kind');
SELECT is_empty('(TABLE eiot.fingerprint EXCEPT TABLE before_refusal) UNION ALL (TABLE before_refusal EXCEPT TABLE eiot.fingerprint)', 'the old rules are all there');
SELECT is_empty('(TABLE eiot.fingerprint_kind EXCEPT TABLE kinds_before) UNION ALL (TABLE kinds_before EXCEPT TABLE eiot.fingerprint_kind)', 'and the kinds');
SELECT is(pg_temp.verdict('test.load', 'another'), 'unknown||||0.85', 'and in use');
SELECT is((pg_temp.told(format('SELECT eiot.load_fingerprints(%L)', '<fingerprints><fingerprint pattern="a">'))).code, '2200N', 'a text that is no XML does not get so far');

-- ---- rules by hand are held to the same

SELECT is((pg_temp.told($$SELECT pg_temp.rule('k', 'a(b', description => 'by hand')$$)).code, '2201B', 'INSERT: a pattern that does not compile');
SELECT matches((pg_temp.told($$SELECT pg_temp.rule('k', 'a(b', description => 'by hand')$$)).message, 'by hand', 'INSERT: is named');
SELECT is((pg_temp.told($$SELECT pg_temp.rule('k', 'a', '{"x": 1}')$$)).code, '22023', 'INSERT: a capture that does not exist');
SELECT is((pg_temp.told($$SELECT pg_temp.rule('k', 'a', flags => '{REG_FOO}')$$)).code, '22023', 'INSERT: an unknown flag');
SELECT is((pg_temp.told($$UPDATE eiot.fingerprint SET pattern = '[' WHERE kind = 'test.load'$$)).code, '2201B', 'UPDATE as well');
SELECT is((pg_temp.told($$INSERT INTO eiot.fingerprint (kind, pattern, params) VALUES ('k', 'a', '[{"pos": 0, "name": "hw.certainty", "value": "high"}]')$$)).code,
          '22023', 'INSERT: a certainty that is no number');
SELECT is((pg_temp.told($$INSERT INTO eiot.fingerprint (kind, pattern, params) VALUES ('k', 'a', '["hw.model"]')$$)).code, '22023', 'INSERT: a parameter that is no object');
SELECT ok((pg_temp.told($$INSERT INTO eiot.fingerprint (kind, pattern, params) VALUES ('k', 'a', '{}')$$)).code IN ('22023', '23514'), 'INSERT: parameters that are no array');
SELECT is((pg_temp.told($$INSERT INTO eiot.fingerprint (kind, pattern, shipped) VALUES ('k', 'a', true)$$)).code, '23514', 'INSERT: a user''s rule is not shipped');
SELECT is(eiot.capture_count(pattern, flags::text[]), n, format('captures of %s', pattern))
  FROM (VALUES ('a', '{}', 0), ('(a)(?:b)(?<n>c)', '{REG_ICASE}', 2), ('', '{}', 0), (NULL, '{}', NULL), ('a', NULL, NULL)) v(pattern, flags, n);

-- ==== which rule decides

SELECT is(pg_temp.verdict('http_header.server', 'debut/1.30'), 'iot|Printer|Brother||0.85', 'the starter set answers where nothing was loaded');
SELECT is(pg_temp.load('<fingerprints matches="http_header.server"><fingerprint pattern="^Loaded/"><description>loaded</description></fingerprint></fingerprints>'),
          1::bigint, 'rules loaded for a kind');
SELECT is(pg_temp.verdict('http_header.server', 'debut/1.30'), NULL, 'take the place of its starter set');
SELECT is(pg_temp.decided('http_header.server', 'Loaded/1'), 'loaded', 'and answer');
SELECT is(pg_temp.verdict('html_title', 'Welcome to QNAP Turbo NAS'), 'iot|NAS|QNAP|Turbo NAS|0.85', 'other kinds keep theirs');
SELECT is((SELECT count(*) FROM eiot.fingerprint_in_use WHERE kind = 'http_header.server'), 1::bigint, 'as the view of rules in use says');
SELECT isnt(pg_temp.rule('http_header.server', 'Loaded', description => 'own, late', ordinal => 7), NULL, 'a rule of the user''s own');
SELECT is(pg_temp.decided('http_header.server', 'Loaded/1'), 'own, late', 'comes before loaded ones, whatever its number');
SELECT isnt(pg_temp.rule('http_header.server', 'Loaded/1', description => 'own, early', ordinal => 3), NULL, 'another one');
SELECT is(pg_temp.decided('http_header.server', 'Loaded/1'), 'own, early', 'the lower number goes first');
SELECT is(pg_temp.decided('http_header.server', 'Loaded/2'), 'own, late', 'of those that match');
SELECT isnt(pg_temp.rule('http_header.server', 'Loaded/1', description => 'own, inserted later', ordinal => 3), NULL, 'a third one with the same number');
SELECT is(pg_temp.decided('http_header.server', 'Loaded/1'), 'own, early', 'of equals the older one goes first');
SELECT lives_ok($$UPDATE eiot.fingerprint SET ordinal = 9 WHERE description = 'own, early'$$, 'numbers can be changed');
SELECT is(pg_temp.decided('http_header.server', 'Loaded/1'), 'own, inserted later', 'at once');
SELECT is(pg_temp.load('<fingerprints matches="http_header.server"><fingerprint pattern="^Loaded/"><description>loaded again</description></fingerprint></fingerprints>'),
          1::bigint, 'loading anew');
SELECT is((SELECT count(*) FROM eiot.fingerprint WHERE kind = 'http_header.server' AND origin = 'user'), 3::bigint, 'leaves the user''s rules');
SELECT lives_ok($$DELETE FROM eiot.fingerprint WHERE kind = 'http_header.server' AND origin = 'user'$$, 'without them');
SELECT is(pg_temp.decided('http_header.server', 'Loaded/1'), 'loaded again', 'the loaded ones decide');
SELECT lives_ok($$DELETE FROM eiot.fingerprint WHERE kind = 'http_header.server' AND origin = 'loaded'$$, 'and without those');
SELECT is(pg_temp.verdict('http_header.server', 'debut/1.30'), 'iot|Printer|Brother||0.85', 'the starter set again');
SELECT isnt(pg_temp.rule('http_header.server', 'debut/9', description => 'own'), NULL, 'a rule of the user''s own');
SELECT is(pg_temp.verdict('http_header.server', 'debut/1.30'), 'iot|Printer|Brother||0.85', 'does not put the starter set out of use');

SELECT is(pg_temp.load('<fingerprints matches="test.order">'
                       || (SELECT string_agg(format('<fingerprint pattern="^%s"><description>rule %s</description></fingerprint>', left('abcdefghij', length), length), '' ORDER BY length DESC)
                             FROM generate_series(1, 10) length) || '</fingerprints>'), 10::bigint, 'rules from narrow to wide');
SELECT is(pg_temp.decided('test.order', left('abcdefghij', length) || '!'), 'rule ' || length, format('the first one that matches decides, of %s letters', length))
  FROM generate_series(1, 10) length;

-- Rules are read with the caller's rights, and who may not read them leaves nothing half read.
CREATE ROLE eiot_test_caller;
CREATE FUNCTION pg_temp.product_for_caller() RETURNS text
  LANGUAGE plpgsql
AS $$
DECLARE
  product text;
BEGIN
  SET LOCAL ROLE eiot_test_caller;
  product := (eiot.identify('test.rights', 'thing')).product;
  RESET ROLE;
  RETURN product;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT isnt(pg_temp.rule('test.rights', 'thing', '{"hw.product": "first"}'), NULL, 'a rule that nobody has read');
SELECT is(pg_temp.product_for_caller(), '42501 permission denied for table device_type', 'identify needs SELECT on device_type');
GRANT SELECT ON eiot.device_type TO eiot_test_caller;
SELECT is(pg_temp.product_for_caller(), '42501 permission denied for view fingerprint_in_use', 'and on fingerprint_in_use');
SELECT is((eiot.identify('test.rights', 'thing')).product, 'first', 'after the errors others read all');
SELECT isnt(pg_temp.rule('test.rights', 'thing', '{"hw.product": "second"}', ordinal => 0), NULL, 'a new rule');
GRANT SELECT ON eiot.fingerprint_in_use TO eiot_test_caller;
SELECT is(pg_temp.product_for_caller(), 'second', 'that is all it needs');

SAVEPOINT rules;
SELECT isnt(pg_temp.rule('test.order', '^abc', description => 'own'), NULL, 'a rule in a subtransaction');
SELECT is(pg_temp.decided('test.order', 'abcd'), 'own', 'decides in it');
ROLLBACK TO rules;
SELECT is(pg_temp.decided('test.order', 'abcd'), 'rule 4', 'and not after it was rolled back');
SELECT lives_ok('TRUNCATE pg_temp.refusal', 'a TRUNCATE of something else changes nothing');
SELECT is(pg_temp.decided('test.order', 'abcd'), 'rule 4', 'of course');

-- ==== what identify says

SELECT is(eiot.identify(kind, evidence), NULL, format('identify(%L, %L)', kind, evidence))
  FROM (VALUES ('test.order', 'nothing of it'), ('test.order', ''), ('no.such.kind', 'abc'), ('', 'abc'), (NULL, 'abc'), ('test.order', NULL), (NULL, NULL),
               (repeat('k', 63), 'abc')) v(kind, evidence);
SELECT is((eiot.match_fingerprint(kind, evidence)).attributes, NULL, format('match_fingerprint(%L, %L)', kind, evidence))
  FROM (VALUES ('test.order', 'nothing of it'), ('no.such.kind', 'abc'), (NULL, 'abc'), ('test.order', NULL)) v(kind, evidence);
SELECT is(pg_typeof(eiot.identify('test.order', 'abc'))::text, 'eiot.identity', 'a verdict is of type eiot.identity');

CREATE FUNCTION pg_temp.verdict_of(params jsonb, evidence text DEFAULT 'the evidence', pattern text DEFAULT 'the (.*)') RETURNS text
  LANGUAGE plpgsql
AS $$
BEGIN
  DELETE FROM eiot.fingerprint WHERE kind = 'test.params';
  PERFORM pg_temp.rule('test.params', pattern, params);
  RETURN pg_temp.verdict('test.params', evidence);
END
$$;
SELECT is(pg_temp.verdict_of(params), verdict, params::text)
  FROM (VALUES
    ('{}'::jsonb, 'unknown||||0.85'),
    -- class by kind of device
    ('{"hw.device": "Printer"}', 'iot|Printer|||0.85'),
    ('{"os.device": "Printer"}', 'iot|Printer|||0.85'),
    ('{"hw.device": "Switch", "os.device": "Printer"}', 'network|Switch|||0.85'),
    ('{"service.device": "Printer"}', 'unknown||||0.85'),
    ('{"hw.device": "ip-CAMERA"}', 'iot|ip-CAMERA|||0.85'),
    ('{"hw.device": "Teapot"}', 'unknown|Teapot|||0.85'),
    ('{"hw.device": "Device"}', 'unknown|Device|||0.85'),
    -- vendor
    ('{"hw.vendor": "H", "os.vendor": "O", "service.vendor": "S"}', 'unknown||H||0.85'),
    ('{"os.vendor": "O", "service.vendor": "S"}', 'unknown||O||0.85'),
    ('{"service.vendor": "S"}', 'unknown||S||0.85'),
    -- product
    ('{"hw.product": "P", "hw.model": "M", "os.product": "O", "service.product": "S"}', 'unknown|||P|0.85'),
    ('{"hw.model": "M", "os.product": "O", "service.product": "S"}', 'unknown|||M|0.85'),
    ('{"os.product": "O", "service.product": "S"}', 'unknown|||O|0.85'),
    ('{"service.product": "S"}', 'unknown|||S|0.85'),
    -- certainty
    ('{"hw.certainty": "0.6"}', 'unknown||||0.6'),
    ('{"os.certainty": "0.5", "service.certainty": "0.4"}', 'unknown||||0.5'),
    ('{"hw.certainty": "1.0", "os.certainty": "0.5"}', 'unknown||||1.0'),
    ('{"service.certainty": "0"}', 'unknown||||0'),
    -- captures and templates
    ('{"hw.device": "Printer", "hw.product": 1}', 'iot|Printer||evidence|0.85'),
    ('{"hw.product": "an {what}", "what": 1}', 'unknown|||an evidence|0.85')) v(params, verdict);
SELECT is(pg_temp.verdict_of('{"hw.device": 1}', 'the Printer'), 'iot|Printer|||0.85', 'a captured kind of device has its class, too');
SELECT is(pg_temp.verdict_of('{"hw.device": 1}', 'the Teapot'), 'unknown|Teapot|||0.85', 'one that nobody knows is unknown');
SELECT is(pg_temp.verdict_of('{"hw.vendor": 1}', 'the ', 'the (\w*)'), 'unknown||||0.85', 'an empty capture is no value');
SELECT is(pg_temp.verdict_of('{"hw.vendor": 2, "hw.product": 1}', 'the x', 'the (x)(y)?'), 'unknown|||x|0.85', 'nor is a group that took no part');
SELECT is(pg_temp.verdict_of('{"hw.vendor": 69, "hw.product": 70}', repeat('ab', 35), repeat('(.)', 70)), 'unknown||a|b|0.85', 'the 70th capture is as good as the first');

-- ---- the user's classes

SELECT is(pg_temp.verdict_of('{"hw.device": "Printer"}'), 'iot|Printer|||0.85', 'a printer');
SAVEPOINT types;
SELECT lives_ok($$UPDATE eiot.device_type SET class = 'ot' WHERE device_type = 'Printer'$$, 'somebody who prints on machines');
SELECT is(pg_temp.verdict('test.params', 'the evidence'), 'ot|Printer|||0.85', 'has their class from the next statement on');
SELECT lives_ok($$INSERT INTO eiot.device_type (device_type, class, reason) VALUES ('Teapot', 'bms', 'warms the building')$$, 'a kind of their own');
SELECT is(pg_temp.verdict_of('{"hw.device": "teapot"}'), 'bms|teapot|||0.85', 'is known at once');
SELECT is(pg_temp.verdict_of('{"hw.device": 1}', 'the teapot'), 'bms|teapot|||0.85', 'also where it is captured');
SELECT lives_ok($$DELETE FROM eiot.device_type WHERE device_type = 'Teapot'$$, 'and without it');
SELECT is(pg_temp.verdict_of('{"hw.device": "Teapot"}'), 'unknown|Teapot|||0.85', 'is unknown again');
ROLLBACK TO types;
SELECT is(pg_temp.verdict_of('{"hw.device": "Printer"}'), 'iot|Printer|||0.85', 'rolled back: as before');

-- ==== several pieces of evidence

SELECT is(pg_temp.load('<fingerprints matches="ev.low" preference="0.2"><fingerprint pattern="unsure"><description>low, unsure</description><param pos="0" name="hw.device" value="Printer"/><param pos="0" name="hw.certainty" value="0.3"/></fingerprint>
  <fingerprint pattern="sure"><description>low, sure</description><param pos="0" name="hw.device" value="Router"/><param pos="0" name="hw.certainty" value="0.9"/></fingerprint>
  <fingerprint pattern="usual"><description>low, usual</description><param pos="0" name="hw.device" value="PLC"/></fingerprint>
  <fingerprint pattern="classless"><description>low, classless</description><param pos="0" name="hw.certainty" value="1"/></fingerprint></fingerprints>'), 4::bigint, 'rules of a kind with low preference');
SELECT is(pg_temp.load('<fingerprints matches="ev.high" preference="0.9"><fingerprint pattern="usual"><description>high, usual</description><param pos="0" name="hw.device" value="Switch"/></fingerprint>
  <fingerprint pattern="unsure"><description>high, unsure</description><param pos="0" name="hw.device" value="NAS"/><param pos="0" name="hw.certainty" value="0.2"/></fingerprint>
  <fingerprint pattern="classless"><description>high, classless</description></fingerprint></fingerprints>'), 3::bigint, 'and of one with high preference');
SELECT isnt(pg_temp.rule('ev.own', 'usual', '{"hw.device": "Laptop"}', description => 'own, usual'), NULL, 'and one without a preference, which is 0.10');

CREATE FUNCTION pg_temp.decided(evidence jsonb) RETURNS text
  LANGUAGE sql
  RETURN (SELECT f.description FROM eiot.fingerprint f WHERE f.fingerprint_id = (eiot.identify(evidence)).fingerprint);
SELECT is(pg_temp.decided(evidence), decided, evidence::text)
  FROM (VALUES
    ('{"ev.low": "sure"}'::jsonb, 'low, sure'),
    ('{"ev.low": "sure", "ev.high": "usual"}', 'low, sure'),
    ('{"ev.low": "usual", "ev.high": "usual"}', 'high, usual'),
    ('{"ev.own": "usual", "ev.low": "usual"}', 'low, usual'),
    ('{"ev.own": "usual"}', 'own, usual'),
    ('{"ev.low": "unsure", "ev.high": "unsure"}', 'low, unsure'),
    ('{"ev.low": "classless", "ev.high": "unsure"}', 'high, unsure'),
    ('{"ev.low": "classless", "ev.high": "classless"}', 'low, classless'),
    ('{"ev.low": "nothing", "ev.high": "classless"}', 'high, classless'),
    ('{"ev.low": ["nothing", "unsure", "usual"]}', 'low, usual'),
    ('{"ev.low": ["usual"], "ev.high": []}', 'low, usual'),
    ('{"ev.low": [null, 1, true, {"a": "x"}, ["y"], "usual"]}', 'low, usual'),
    ('{"no.such.kind": "usual", "ev.low": "usual"}', 'low, usual'),
    ('{"ev.low": "nothing"}', NULL),
    ('{"no.such.kind": "usual"}', NULL),
    ('{"": "usual"}', NULL),
    ('{"ev.low": null}', NULL),
    ('{"ev.low": 7, "ev.high": true}', NULL),
    ('{"ev.low": {"ev.low": "sure"}}', NULL),
    ('{}', NULL),
    ('[]', NULL),
    ('["usual"]', NULL),
    ('"usual"', NULL),
    ('7', NULL),
    ('null', NULL)) v(evidence, decided);
SELECT is(eiot.identify(NULL::jsonb), NULL, 'null');
SELECT is((eiot.identify('{"ev.low": "usual", "ev.high": "usual"}'::jsonb)).class, 'network', 'its class');
SELECT is((eiot.identify('{"ev.low": "usual", "ev.high": "usual"}'::jsonb)).device_type, 'Switch', 'its kind of device');
-- Other people's documents have keys of any length.
SELECT is((pg_temp.told(format('SELECT eiot.identify(%L::jsonb)', jsonb_build_object(repeat('k', 64), 'usual', 'ev.low', 'usual')))).message, NULL,
          'a key too long for a kind is no reason to fail');

-- ==== letters

SELECT is(pg_temp.matches(pattern, evidence, flags::text[]), true, format('%s (%s) matches %s', pattern, flags, to_json(evidence)))
  FROM (VALUES
    ('server', 'SERVER', '{REG_ICASE}'), ('SERVER', 'server', '{REG_ICASE}'), ('(?i)server', 'sErVeR', '{}'), ('ser(?i)ver', 'serVER', '{}'), ('(?i:ser)ver', 'SERver', '{}'),
    -- U+017F is an s, U+212A a k
    ('server', U&'\017Ferver', '{REG_ICASE}'), ('kiosk desk', U&'\212Aio\017F\212A de\017Fk', '{REG_ICASE}'), ('^printers$', U&'PRINTER\017F', '{REG_ICASE}'),
    ('(?i)printers', U&'printer\017F', '{}'), (U&'printer\017F', 'printers', '{REG_ICASE}'), (U&'dis\212A drive', 'disk drive', '{REG_ICASE}'),
    -- beyond ASCII
    (U&'T\00FCr \00F6ffnen', U&'T\00DCR \00D6FFNEN', '{REG_ICASE}'), (U&'\00FC+berwachung', U&'\00FC\00FC\00FCberwachung', '{}'), ('^.{3}$', U&'\30AB\30E1\30E9', '{}'),
    (U&'[\00E4\00F6]l Kamera', U&'\00F6l Kamera', '{}'), ('\x{30AB}amera', U&'\30ABamera', '{}'), ('\xE9cran', U&'\00E9cran', '{}'), ('\w+', '_', '{}'),
    (U&'caf\00E9?s bar', 'cafs bar', '{}'), (U&'caf\00E9{0,2}s bar', 'cafs bar', '{}'), (U&'\D83D\DCF7 camera', U&'a \D83D\DCF7 camera', '{}')) v(pattern, evidence, flags);
SELECT is(pg_temp.matches(pattern, evidence, flags::text[]), false, format('%s (%s) does not match %s', pattern, flags, to_json(evidence)))
  FROM (VALUES
    ('server', 'SERVER', '{}'), ('server', U&'\017Ferver', '{}'), ('(?i:ser)ver', 'SERVER', '{}'), ('^.{2}$', U&'\30AB\30E1\30E9', '{}'), ('a.c', E'a\nc', '{}'), ('^b', E'a\nb', '{}'),
    ('^b', E'a\nb', '{REG_DOT_NEWLINE}')) v(pattern, evidence, flags);
SELECT is(pg_temp.verdict_of('{"hw.vendor": 1, "hw.product": "{x} von {y}", "x": 2, "y": 1}', U&'Hersteller \00D6lm\00FChle, Ger\00E4t \30AB\30E1\30E9', U&'Hersteller (\\w+|[^,]+), Ger\00E4t (.*)'),
          U&'unknown||\00D6lm\00FChle|\30AB\30E1\30E9 von \00D6lm\00FChle|0.85', 'captures of other letters are whole');
SELECT is(pg_temp.verdict_of(jsonb_build_object('hw.vendor', U&'Nestl\00E9'), 'the x'), U&'unknown||Nestl\00E9||0.85', 'constants, too');

-- ---- bytes

DELETE FROM eiot.fingerprint WHERE kind = 'bytes';
SELECT isnt(pg_temp.rule('bytes', '\x00\xff(\w+)', '{"x": 1}'), NULL, 'a rule for bytes');
SELECT isnt(pg_temp.rule('bytes', U&'caf\00E9 (\\w+)', '{"x": 1}'), NULL, 'and one for letters');
SELECT is((eiot.match_fingerprint('bytes', evidence)).attributes ->> 'x', x, format('%s', evidence))
  FROM (VALUES ('\x6100ff6263'::bytea, 'bc'), ('\x00c3bf6263', 'bc'), ('\x636166c3a9206162', 'ab'), ('\x636166e9206162', 'ab'), ('\x', NULL), ('\x0000', NULL)) v(evidence, x);

-- ==== size, and patterns made to explode

SELECT isnt(pg_temp.rule('big', 'needle (\w+)', '{"hw.model": 1}'), NULL, 'a rule for big evidence');
SELECT is((eiot.identify('big', repeat('hay ', 262140) || ' needle n1')).product, 'n1', 'at the end of 1 MB');
SELECT is((eiot.identify('big', repeat('hay ', 262144) || ' needle n1')).product, NULL, 'what lies behind the first megabyte is not looked at');
SELECT is((eiot.identify('big', 'needle n1' || repeat(' hay', 1000000))).product, 'n1', 'what lies in it is');
SELECT is((eiot.identify('big', repeat(U&'\20AC', 349520) || 'needle n1')).product, 'n1', 'its end falls on no half letter');
SELECT is((eiot.identify('big', repeat(U&'\20AC', 349526) || 'needle n1')).product, NULL, 'anywhere');

CREATE TEMP TABLE explosion (pattern text, evidence text);
INSERT INTO explosion
VALUES ('^(?:a+)+$', repeat('a', 60) || '!'), ('^(a|a)*$', repeat('a', 60) || '!'), ('^(?:a*)*b', repeat('a', 60) || '!b'),
       ('^(\w+\s?)+$', repeat('word ', 30) || '!'), ('^(?:(?:a|b)+,?)+;$', repeat('ab', 40) || ';!');
CREATE FUNCTION pg_temp.explode(OUT matched text, OUT seconds numeric)
  LANGUAGE plpgsql
AS $$
DECLARE
  e explosion;
  started timestamptz := clock_timestamp();
BEGIN
  FOR e IN TABLE explosion LOOP
    DELETE FROM eiot.fingerprint WHERE kind = 'explode';
    PERFORM pg_temp.rule('explode', e.pattern, description => 'explodes');
    PERFORM pg_temp.rule('explode', '!', ordinal => 2, description => 'follows');
    matched := concat_ws(' ', matched, pg_temp.decided('explode', e.evidence));
    matched := concat_ws(' ', matched, pg_temp.decided('explode', e.evidence));
  END LOOP;
  seconds := extract(epoch FROM clock_timestamp() - started);
END
$$;
CREATE TEMP TABLE exploded AS SELECT * FROM pg_temp.explode();
SELECT is(matched, rtrim(repeat('follows ', 10)), 'a pattern that explodes does not match, and the next one is tried') FROM exploded;
SELECT cmp_ok(seconds, '<', 30.0, format('in a bounded time, %s s', round(seconds, 2))) FROM exploded;
SELECT is(pg_temp.matches('^(?:a+)+$', repeat('a', 60)), true, 'it still matches what it matches without exploding');
SELECT is(pg_temp.matches(repeat('(', 200) || 'deep' || repeat(')', 200), 'deep'), true, '200 groups in each other');
SELECT is((pg_temp.told(format('SELECT pg_temp.rule(''k'', %L)', repeat('(', 1000) || repeat(')', 1000)))).code, '2201B', '1,000 are refused');

-- ==== examples that do not hold

SELECT is(pg_temp.load('<fingerprints matches="test.check">
  <fingerprint pattern="^first (\w+)$"><description>first</description><param pos="1" name="hw.model"/><param pos="0" name="hw.device" value="Printer"/>
    <example hw.model="a">first a</example>
    <example hw.model="b">first a</example>
    <example hw.product="a">first a</example>
    <example hw.model="">first a</example>
    <example hw.product="">first a</example>
    <example>second a</example>
    <example _encoding="base64">/wA=</example>
  </fingerprint>
  <fingerprint pattern="^(?:first|third) (\w+)$"><description>third</description><param pos="1" name="hw.model"/><param pos="0" name="hw.device" value="Router"/>
    <example hw.model="a">third a</example>
    <example hw.model="a">first a</example>
  </fingerprint></fingerprints>'), 2::bigint, 'rules with examples, some wrong');
SELECT bag_eq($$SELECT (SELECT description FROM eiot.fingerprint WHERE fingerprint_id = fingerprint), kind_checked, evidence, problem, expected, found FROM eiot.check_fingerprints('test.check')$$,
              $$VALUES ('first', 'test.check', 'first a', 'attributes differ', '{"hw.model": "b", "hw.device": "Printer"}'::jsonb, '{"hw.model": "a", "hw.device": "Printer"}'::jsonb),
                       ('first', 'test.check', 'first a', 'attributes differ', '{"hw.product": "a", "hw.device": "Printer"}', '{"hw.model": "a", "hw.device": "Printer"}'),
                       ('first', 'test.check', 'first a', 'attributes differ', '{"hw.device": "Printer"}', '{"hw.model": "a", "hw.device": "Printer"}'),
                       ('first', 'test.check', 'second a', 'no rule matches', '{"hw.device": "Printer"}', NULL),
                       ('first', 'test.check', '/wA=', 'no rule matches', '{"hw.device": "Printer"}', NULL),
                       ('third', 'test.check', 'first a', 'attributes differ', '{"hw.model": "a", "hw.device": "Router"}', '{"hw.model": "a", "hw.device": "Printer"}')$$,
              'each that does not hold is told: a wrong capture, none, one too many, no match, the device of another rule');
SELECT is((SELECT count(*) FROM eiot.check_fingerprints() WHERE kind_checked = 'test.check'), 6::bigint, 'the same over all kinds');
SELECT is_empty($$SELECT * FROM eiot.check_fingerprints('no.such.kind')$$, 'nothing of a kind without rules');

-- ==== no rule is passed over

-- What is required of an evidence is read off the pattern; where a pattern is not understood its rule is always tried.
-- "(?#)" is a comment and not understood, so with it behind it a pattern is tried on everything: the yardstick.
CREATE FUNCTION pg_temp.passed_over(pattern text, evidence text, flags text[] DEFAULT '{}') RETURNS text
  LANGUAGE sql
  RETURN CASE WHEN pg_temp.matches(pattern || '(?#)', evidence, flags)
              THEN CASE WHEN pg_temp.matches(pattern, evidence, flags) THEN 'found' ELSE 'passed over' END ELSE 'does not match' END;
SELECT is(pg_temp.passed_over(pattern, evidence, flags::text[]), 'found', format('%s finds %s', pattern, to_json(evidence)))
  FROM (VALUES
    ('abcd|efgh', 'efgh', '{}'), ('abcd|', 'x', '{}'), ('(?:abcd|efgh)ijkl', 'efghijkl', '{}'), ('abcd(?:efgh)?ijkl', 'abcdijkl', '{}'), ('(?:abcd)*', '', '{}'),
    ('(?:abcd){0}efgh', 'efgh', '{}'), ('(?:abcd){0,}efgh', 'efgh', '{}'), ('abcd{0}efgh', 'abcefgh', '{}'), ('abcd{2,3}efgh', 'abcddefgh', '{}'), ('abcd*efgh', 'abcefgh', '{}'),
    ('abcd?+efgh', 'abcefgh', '{}'), ('(abcd)?(?(1)efgh|ijkl)', 'ijkl', '{}'), ('(?<n>abcd){0}efgh', 'efgh', '{}'), ('(?=abcd)abcdef', 'abcdef', '{}'), ('(?!abcd)efgh', 'efgh', '{}'),
    ('(?<!abcd)efgh', 'efgh', '{}'), ('(?<=abcd)efgh', 'abcdefgh', '{}'), ('(?=abcd){0}efgh', 'efgh', '{}'), ('abcd\b.efgh', 'abcd efgh', '{}'), ('abcd\Befgh', 'abcdefgh', '{}'),
    ('[abcd]efgh', 'defgh', '{}'), ('[]abcd]efgh', ']efgh', '{}'), ('[^]abcd]efgh', 'xefgh', '{}'), ('[\]abcd]efgh', ']efgh', '{}'), ('[[:alpha:]]efgh', 'xefgh', '{}'),
    ('[[:^digit:]x]efgh', 'xefgh', '{}'), ('[[:alpha:]_.-]efgh', '-efgh', '{}'), ('[a[b]efgh', '[efgh', '{}'), ('[[.x]efgh', 'xefgh', '{}'), ('[\Q]abcd\E]efgh', ']efgh', '{}'),
    ('[\c]]efgh', E'\x1defgh', '{}'), ('[[:<:]]efgh', 'x efgh', '{}'), ('efgh[[:>:]]', 'efgh x', '{}'), ('[[:<:]]efgh[[:>:]]', 'efgh', '{}'),
    ('\Qab.d\Eefgh', 'ab.defgh', '{}'), ('ab\.defgh', 'ab.defgh', '{}'), ('ab\-defgh', 'ab-defgh', '{}'), ('ab\x2edefgh', 'ab.defgh', '{}'), ('ab\x{2e}defgh', 'ab.defgh', '{}'),
    ('ab\056defgh', 'ab.defgh', '{}'), ('ab\tdefgh', E'ab\tdefgh', '{}'), ('ab\Rdefgh', E'ab\r\ndefgh', '{}'), ('ab\Kcdef', 'abcdef', '{}'), ('(abcd)\1efgh', 'abcdabcdefgh', '{}'),
    ('(abcd)\g1efgh', 'abcdabcdefgh', '{}'), ('(ab)(cd)(?1)efgh', 'abcdabefgh', '{}'), ('(?|(abcd)|(efgh))ijkl', 'efghijkl', '{}'), ('(?>abcd|efgh)ijkl', 'efghijkl', '{}'),
    ('(?x)ab cd # ef', 'abcd', '{}'), ('ab(?x) cd', 'abcd', '{}'), ('abcd(?#ef(gh)ij', 'abcdij', '{}'), ('(?i)ABCD(?-i)ef', 'abcdef', '{}'), ('(?i:ABCD)EFGH', 'abcdEFGH', '{}'),
    ('^abcd', 'abcdefgh', '{}'), ('^^abcd', 'abcd', '{}'), ('\Aabcd\z', 'abcd', '{}'), ('(?:^|x)abcd', 'yxabcd', '{}'), ('(^)?abcd', 'xabcd', '{}'), ('^abcd|efgh', 'xefgh', '{}'),
    ('^abcd', E'x\nabcd', '{REG_MULTILINE}'), ('(?m)^abcd', E'x\nabcd', '{}'), ('(?m:^abcd)', E'x\nabcd', '{}'), ('x(?m:\n^abcd)', E'x\nabcd', '{}'), ('(?-s)(?m)^abcd$', E'x\nabcd\ny', '{}'),
    ('(?=x)?abcd', 'abcd', '{}'), ('abcd{', 'abcd{', '{}'), ('abcd{x}', 'abcd{x}', '{}'), ('abcd{1', 'abcd{1', '{}'), ('abcd}', 'abcd}', '{}'), ('abcd]', 'abcd]', '{}'), ('abcd{}', 'abcd{}', '{}'),
    ('(*LF)^abcd', 'abcd', '{}'), ('(?P<n>abcd)efgh(?P=n)', 'abcdefghabcd', '{}'), ('(?''n''abcd)efgh', 'abcdefgh', '{}'), ('\babcd\b', 'x abcd y', '{}'),
    ('a{1}b{1}c{1}d{1}efgh', 'abcdefgh', '{}'), ('(?:abcd){1,}efgh', 'abcdabcdefgh', '{}'), ('abcdefghijklmnopqrstuvwxyz0123456789', 'xabcdefghijklmnopqrstuvwxyz0123456789', '{}'),
    ('^abcdefghijklmnopqrstuvwxyz0123456789?', 'abcdefghijklmnopqrstuvwxyz012345678', '{}'), ('abcdefghijklmnopqrstuvwx?y', 'abcdefghijklmnopqrstuvwy', '{}'),
    ('(?:a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|qrst)uvwx', 'quvwx' || 'puvwx', '{}'), ('\Gabcd', 'abcd', '{}'), ('abcd(?:\h|\v)efgh', 'abcd efgh', '{}'), ('\pLbcdefgh', 'abcdefgh', '{}'),
    ('ab\Ncdefg', 'abxcdefg', '{}'), ('ab\o{143}defg', 'abcdefg', '{}'), ('ab\edefg', E'ab\x1bdefg', '{}'), ('ab\cGdefg', E'ab\x07defg', '{}'), ('abcd(*ACCEPT)efgh', 'abcd', '{}'),
    ('(?:abcd(*FAIL)|efgh)', 'efgh', '{}'), ('(?:abcd)??efgh', 'efgh', '{}'), ('(?:abcd){0,0}+efgh', 'efgh', '{}'), ('(?(DEFINE)(?<n>abcd))(?&n)efgh', 'abcdefgh', '{}')) v(pattern, evidence, flags);

-- Random patterns, each with an evidence that it should match.
CREATE FUNCTION pg_temp.one_of(VARIADIC choices text[]) RETURNS text
  LANGUAGE sql VOLATILE
  RETURN choices[1 + floor(random() * cardinality(choices))::integer];

CREATE FUNCTION pg_temp.grow(depth integer, OUT pattern text, OUT sample text)
  LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  part record;
  other record;
  shape integer := CASE WHEN depth <= 0 THEN floor(random() * 9) ELSE floor(random() * 20) END;
  word text;
BEGIN
  CASE
    WHEN shape < 4 THEN
      word := pg_temp.one_of('core', 'ware', 'Scan', 'Print', 'er', 'acme', 'x', 'HTTP', 'Ser', 'ver', 'cam', 'era');
      pattern := word; sample := word;
    WHEN shape = 4 THEN
      SELECT * INTO part FROM (VALUES ('\d+', '42'), ('\w', 'q'), ('\s*', ''), ('\s+', '  '), ('.', '?'), ('.*', 'any'), ('.+?', 'u'), ('[a-f]', 'c'), ('[^,;]+', 'no '), ('[]x]', ']'),
                                      ('[[:alpha:]]{2}', 'zz'), ('\S{2,3}', 'abc'), ('\D', 'w'), ('[\w.-]+', 'a.b-c'), ('[\\/]', '/'), ('\h', ' ')) v(pattern, sample) ORDER BY random() LIMIT 1;
      pattern := part.pattern; sample := part.sample;
    WHEN shape = 5 THEN
      SELECT * INTO part FROM (VALUES ('\.', '.'), ('\/', '/'), ('\-', '-'), ('\x41', 'A'), ('\(', '('), ('\[', '['), ('\{', '{'), ('\+', '+'), ('\\', '\'), ('\$', '$'), ('\x{e9}', U&'\00E9'), (U&'\00FC', U&'\00FC'),
                                      (' ', ' '), (',', ','), ('/', '/'), ('\t', E'\t'), ('\|', '|'), ('{', '{'), ('}', '}'), (']', ']')) v(pattern, sample) ORDER BY random() LIMIT 1;
      pattern := part.pattern; sample := part.sample;
    WHEN shape = 6 THEN
      word := pg_temp.one_of('e', 'r', 'm', '1', '-', U&'\00E9');
      SELECT * INTO part FROM (VALUES ('?', 0), ('*', 0), ('+', 1), ('{2}', 2), ('{1,3}', 2), ('{0,2}', 0), ('{0}', 0), ('*?', 1), ('++', 2), ('{2,}', 3), ('??', 1)) v(quantifier, times) ORDER BY random() LIMIT 1;
      pattern := word || part.quantifier; sample := repeat(word, part.times);
    WHEN shape = 7 THEN
      SELECT * INTO part FROM (VALUES ('\b', ''), ('(?:)', ''), ('(?=)', ''), ('(?i)', ''), ('(?-i)', ''), ('(?!zzz)', ''), ('\B', ''), ('(?<!zzz)', ''), ('(?s)', '')) v(pattern, sample) ORDER BY random() LIMIT 1;
      pattern := part.pattern; sample := part.sample;
    WHEN shape = 8 THEN
      word := pg_temp.one_of('router', 'switch', 'Network Camera', 'firmware', 'version');
      pattern := word; sample := word;
    WHEN shape < 13 THEN
      SELECT * INTO part FROM pg_temp.grow(depth - 1);
      SELECT * INTO other FROM pg_temp.grow(depth - 1);
      pattern := part.pattern || other.pattern; sample := part.sample || other.sample;
    WHEN shape < 15 THEN
      SELECT * INTO part FROM pg_temp.grow(depth - 1);
      SELECT * INTO other FROM pg_temp.grow(depth - 1);
      pattern := format('%s%s|%s)', pg_temp.one_of('(?:', '(', '(?>', '(?i:', '(?<n' || floor(random() * 1000000)::integer || '>'), part.pattern, other.pattern);
      sample := CASE WHEN random() < 0.5 THEN part.sample ELSE other.sample END;
    WHEN shape < 17 THEN
      SELECT * INTO part FROM pg_temp.grow(depth - 1);
      SELECT * INTO other FROM (VALUES ('?', 0), ('?', 1), ('*', 0), ('+', 1), ('{1,2}', 2), ('{0,2}', 0), ('{0}', 0), ('{2}', 2), ('??', 0)) v(quantifier, times) ORDER BY random() LIMIT 1;
      pattern := format('(?:%s)%s', part.pattern, other.quantifier); sample := repeat(part.sample, other.times);
    WHEN shape = 17 THEN
      SELECT * INTO part FROM pg_temp.grow(depth - 1);
      pattern := format(pg_temp.one_of('(?=%1$s)%1$s', '(?:%1$s|)', '(%1$s)', '(?:|%1$s)', '(?i:%1$s)'), part.pattern);
      sample := part.sample;
    WHEN shape = 18 THEN
      SELECT * INTO part FROM pg_temp.grow(depth - 1);
      pattern := '^' || part.pattern; sample := part.sample;
    ELSE
      SELECT * INTO part FROM pg_temp.grow(depth - 1);
      SELECT * INTO other FROM pg_temp.grow(depth - 1);
      pattern := part.pattern || '|' || other.pattern;
      sample := CASE WHEN random() < 0.5 THEN part.sample ELSE other.sample END;
  END CASE;
END
$$;

DO $$ BEGIN PERFORM setseed(0.25); END $$;
CREATE TEMP TABLE random_rule AS
  SELECT n, g.pattern, g.sample, (ARRAY['{}', '{}', '{}', '{REG_ICASE}', '{REG_MULTILINE}', '{REG_ICASE,REG_DOT_NEWLINE}'])[1 + n % 6]::text[] AS flags
    FROM generate_series(1, 600) n CROSS JOIN LATERAL pg_temp.grow(4 + n % 2) g;
-- Those that match nearly everything would decide nearly everything.
DELETE FROM random_rule WHERE pg_temp.matches(pattern || '(?#)', '', flags) OR pg_temp.matches(pattern || '(?#)', ' ~a1.', flags);
CREATE TEMP TABLE random_evidence AS
  SELECT row_number() OVER (ORDER BY r.n, v.n)::integer AS n, v.evidence
    FROM random_rule r CROSS JOIN LATERAL (VALUES (1, r.sample), (2, 'x ' || upper(r.sample) || ' y'), (3, E'a\n' || r.sample || E'\nb')) v(n, evidence)
   WHERE (r.n + v.n) % 3 = 0;
SELECT cmp_ok((SELECT count(*) FROM random_rule), '>=', 250::bigint, format('%s random patterns', (SELECT count(*) FROM random_rule)));
SELECT cmp_ok((SELECT count(*) FROM random_evidence), '>=', 350::bigint, format('%s evidences', (SELECT count(*) FROM random_evidence)));

-- Each alone, and each alone and always tried.
INSERT INTO eiot.fingerprint (kind, pattern, flags)
SELECT 'alone.' || n, pattern, flags FROM random_rule
UNION ALL
SELECT 'always.' || n, pattern || '(?#)', flags FROM random_rule;
CREATE TEMP TABLE outcome AS
  SELECT r.n, e.n AS evidence,
         (eiot.match_fingerprint('alone.' || r.n, e.evidence)).fingerprint IS NOT NULL AS alone,
         (eiot.match_fingerprint('always.' || r.n, e.evidence)).fingerprint IS NOT NULL AS always
    FROM (SELECT n FROM random_rule ORDER BY n) r CROSS JOIN random_evidence e;
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE always), '>', 2000::bigint, format('%s of %s pairs match', (SELECT count(*) FROM outcome WHERE always), (SELECT count(*) FROM outcome)));
SELECT cmp_ok((SELECT count(DISTINCT n) FROM outcome WHERE always), '>', 200::bigint, 'most patterns match something');
SELECT is_empty('SELECT r.pattern, r.flags, e.evidence, o.alone, o.always FROM outcome o JOIN random_rule r USING (n) JOIN random_evidence e ON e.n = o.evidence WHERE o.alone <> o.always LIMIT 5',
                'a rule matches the same whether it is always tried or not');

-- All in one kind, the narrow ones first.
CREATE TEMP TABLE in_order AS
  SELECT o.n, row_number() OVER (ORDER BY count(*) FILTER (WHERE o.always), o.n)::integer AS ordinal FROM outcome o GROUP BY o.n;
INSERT INTO eiot.fingerprint (fingerprint_id, kind, ordinal, pattern, flags)
SELECT 1000000 + i.ordinal, 'random', i.ordinal, r.pattern, r.flags FROM in_order i JOIN random_rule r USING (n);
CREATE TEMP TABLE decision AS
  SELECT e.evidence, f.ordinal AS first, (eiot.match_fingerprint('random', e.evidence)).fingerprint - 1000000 AS decided
    FROM random_evidence e
    LEFT JOIN (SELECT o.evidence, min(i.ordinal) AS ordinal FROM outcome o JOIN in_order i USING (n) WHERE o.always GROUP BY o.evidence) f ON f.evidence = e.n;
SELECT is_empty('SELECT * FROM decision WHERE first IS DISTINCT FROM decided LIMIT 5', 'among all rules the first of those that match alone decides');
SELECT cmp_ok((SELECT count(DISTINCT decided) FROM decision), '>', 60::bigint, format('%s of them decide something', (SELECT count(DISTINCT decided) FROM decision)));

SELECT * FROM finish();
ROLLBACK;
