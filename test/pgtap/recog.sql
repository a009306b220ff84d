-- Recog's files as they are published, where a copy of them lies in $EIOT_SHARED_DATA/recog: all load, and every
-- example gives what it is labeled with.
\set ON_ERROR_STOP 1
\getenv shared EIOT_SHARED_DATA
\if :{?shared}
\else
\set shared ''
\endif
\setenv EIOT_RECOG :shared
\set there `test -r "$EIOT_RECOG/recog/snmp_sysdescr.xml" && echo true || echo false`
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL jit = off;

\if :there
SELECT plan(19);
CREATE TEMP TABLE document (n serial, line text);
-- Each file in one line, its name before it.
\copy document (line) FROM PROGRAM 'cd "$EIOT_RECOG/recog" && for file in *.xml; do printf "%s\t" "$file" && base64 -w 0 "$file" && echo; done' (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')
CREATE TEMP TABLE recog AS
  SELECT split_part(line, E'\t', 1) AS file, decode(split_part(line, E'\t', 2), 'base64') AS bytes FROM document;
SELECT is((SELECT count(*) FROM recog), 41::bigint, '41 files');
-- The xml type reads the declaration itself only of bytes; the text is UTF-8 in any case.
CREATE TEMP TABLE read AS
  SELECT file, convert_from(bytes, 'UTF8')::xml AS body, split_part(file, '.', 1) AS stem FROM recog;
CREATE TEMP TABLE loaded AS
  SELECT file, body, COALESCE((xpath('/fingerprints/@matches', body))[1]::text, stem) AS kind,
         eiot.load_fingerprints(body, CASE WHEN NOT xpath_exists('/fingerprints/@matches', body) THEN stem END) AS rules
    FROM read ORDER BY file;
SELECT is((SELECT sum(rules) FROM loaded), 3540::numeric, '3,540 rules');
SELECT is_empty($$SELECT file, rules FROM loaded WHERE rules::text <> (xpath('count(/fingerprints/fingerprint)', body))[1]::text$$, 'each file''s are all there');
SELECT is((SELECT count(DISTINCT kind) FROM loaded), 41::bigint, 'each file is a kind of its own');
SELECT is((SELECT count(*) FROM eiot.fingerprint WHERE origin = 'loaded'), 3540::bigint, 'and all are stored');
SELECT is((SELECT count(*) FROM eiot.fingerprint f WHERE f.origin = 'loaded' AND eiot.capture_count(f.pattern, f.flags) IS NOT NULL), 3540::bigint, 'every pattern compiles');

-- ---- examples

CREATE TEMP TABLE example AS
  SELECT f.fingerprint_id, f.kind, e, COALESCE(e ? 'base64', false) AS is_bytes,
         (SELECT p ->> 'value' FROM jsonb_array_elements(f.params) p WHERE p ->> 'pos' = '0' AND p ->> 'name' IN ('hw.device', 'os.device')
           ORDER BY p ->> 'name' LIMIT 1) AS device
    FROM eiot.fingerprint f CROSS JOIN jsonb_array_elements(f.examples) e
   WHERE f.origin = 'loaded';
SELECT diag(format('%s examples of %s rules; %s expect attributes, %s of rules that name a device, %s are bytes that are no text',
                   count(*), count(DISTINCT fingerprint_id), count(*) FILTER (WHERE e -> 'expected' <> '{}'), count(*) FILTER (WHERE device IS NOT NULL), count(*) FILTER (WHERE is_bytes)))
  FROM example;
SELECT is((SELECT count(*) FROM example), (SELECT sum((xpath('count(/fingerprints/fingerprint/example[not(@_filename)])', body))[1]::text::bigint) FROM loaded)::bigint,
          format('all %s examples that stand in the files are stored', (SELECT count(*) FROM example)));
SELECT is_empty($$SELECT kind_checked, left(evidence, 80), problem, expected, found FROM eiot.check_fingerprints() LIMIT 10$$, 'each gives what it promises, by check_fingerprints()');
-- The same without check_fingerprints.
CREATE TEMP TABLE outcome AS
  SELECT x.*, m.fingerprint, m.attributes
    FROM example x
   CROSS JOIN LATERAL (SELECT t.fingerprint, t.attributes FROM eiot.match_fingerprint(x.kind, x.e ->> 'text') t WHERE NOT x.is_bytes
                       UNION ALL
                       SELECT t.fingerprint, t.attributes FROM eiot.match_fingerprint(x.kind, decode(x.e ->> 'base64', 'base64')) t WHERE x.is_bytes) m;
SELECT is((SELECT count(*) FROM outcome), (SELECT count(*) FROM example), 'every example has an outcome');
SELECT is((SELECT count(*) FROM outcome WHERE fingerprint IS NULL), 0::bigint, 'none is missed');
SELECT is((SELECT count(*) FROM outcome CROSS JOIN jsonb_each_text(e -> 'expected') x WHERE COALESCE(attributes ->> x.key, '') <> x.value), 0::bigint,
          format('all %s captures that examples name are equal', (SELECT count(*) FROM outcome CROSS JOIN jsonb_each(e -> 'expected'))));
SELECT cmp_ok((SELECT count(*) FROM outcome CROSS JOIN jsonb_each(e -> 'expected')), '>', 5000::bigint, 'and there are many');
SELECT is((SELECT count(*) FROM outcome WHERE device IS NOT NULL AND device IS DISTINCT FROM COALESCE(attributes ->> 'hw.device', attributes ->> 'os.device')), 0::bigint,
          format('all %s examples of rules that name a device are told it', (SELECT count(*) FROM outcome WHERE device IS NOT NULL)));
SELECT is((SELECT count(*) FROM outcome o WHERE NOT o.is_bytes AND (eiot.identify(o.kind, o.e ->> 'text')).device_type IS DISTINCT FROM COALESCE(o.attributes ->> 'hw.device', o.attributes ->> 'os.device')),
          0::bigint, 'identify says the same device as match_fingerprint');
SELECT is((SELECT count(*) FROM outcome o WHERE NOT o.is_bytes AND (eiot.identify(o.kind, o.e ->> 'text')).fingerprint IS DISTINCT FROM o.fingerprint), 0::bigint, 'by the same rule');
SELECT is_empty($$SELECT DISTINCT p ->> 'value' FROM eiot.fingerprint f CROSS JOIN jsonb_array_elements(f.params) p
                   WHERE f.origin = 'loaded' AND p ->> 'name' IN ('hw.device', 'os.device') AND p ->> 'pos' = '0'
                     AND NOT EXISTS (SELECT FROM eiot.device_type d WHERE lower(d.device_type) = lower(p ->> 'value'))$$,
                'every device that a rule names is in eiot.device_type');
-- device.txt lists the names that rules may use.
CREATE TEMP TABLE device_name (name text);
\copy device_name FROM PROGRAM 'cat "$EIOT_RECOG/recog/device.txt"'
SELECT cmp_ok((SELECT count(*) FROM device_name WHERE name <> ''), '>=', 115::bigint, 'a list of device names');
SELECT is_empty($$SELECT name FROM device_name WHERE name <> '' AND NOT EXISTS (SELECT FROM eiot.device_type d WHERE d.device_type = name)$$, 'each is in eiot.device_type, spelled alike');

SELECT is((SELECT count(*) FROM eiot.fingerprint_in_use u WHERE u.origin = 'starter' AND EXISTS (SELECT FROM loaded l WHERE l.kind = u.kind)), 0::bigint, 'the starter set steps back where a file was loaded');
\else
SELECT plan(1);
SELECT skip('Recog''s published files are not there', 1);
\endif

SELECT * FROM finish();
ROLLBACK;
