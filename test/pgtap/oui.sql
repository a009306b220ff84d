-- Vendors by MAC address: what load_oui reads and refuses, and which block an address belongs to.
\set ON_ERROR_STOP 1
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL jit = off;

SELECT plan(121);

\ir lib/told.psql

-- The text of a file: the usual first line and these.
CREATE FUNCTION pg_temp.csv(VARIADIC lines text[]) RETURNS text
  LANGUAGE sql IMMUTABLE
  RETURN 'Registry,Assignment,Organization Name,Organization Address' || E'\n' || array_to_string(lines, E'\n') || E'\n';

-- ==== nothing loaded

SELECT is_empty('SELECT * FROM eiot.oui', 'nothing is shipped');
SELECT is(eiot.oui_vendor('00:00:5e:00:00:01'), NULL, 'so no vendor is known');

-- ==== what is read

SELECT is(eiot.load_oui('MA-L', pg_temp.csv(
  'MA-L,00005E,"Numbers, Names and Numbers",Somewhere 1',
  'MA-L,00A0C0,"The ""Quoted"" Company","1, Long Street ""B"""',
  'MA-L,AC0001,Plain GmbH,',
  'MA-L,ac0002,Lower Case Ltd,Here and there',
  'MA-L,AC0003,"On' || E'\n' || 'two lines","A' || E'\n' || 'B"',
  'MA-L,AC0004,  Blanks around  ,x',
  'MA-L,AC0005,"' || U&'Ger\00E4tebau \30AB' || '",' || U&'Stra\00DFe',
  'MA-L,AC0001,Plain Two,"The second time"',
  'MA-L,AC0006,"",x',
  'MA-L,F40001,Wide Blocks,x')), 9::bigint, 'MA-L: quotes, commas, line ends, letters; an assignment that stands twice counts once');
SELECT is(eiot.oui_vendor(mac::macaddr), vendor, mac)
  FROM (VALUES
    ('00:00:5e:00:00:00', 'Numbers, Names and Numbers'), ('00:00:5e:ff:ff:ff', 'Numbers, Names and Numbers'), ('00-00-5E-12-34-56', 'Numbers, Names and Numbers'),
    ('00:00:5d:ff:ff:ff', NULL), ('00:00:5f:00:00:00', NULL), ('00:a0:c0:00:00:01', 'The "Quoted" Company'), ('ac:00:01:00:00:01', 'Plain GmbH'),
    ('ac:00:02:00:00:01', 'Lower Case Ltd'), ('ac:00:03:00:00:01', E'On\ntwo lines'), ('ac:00:04:00:00:01', 'Blanks around'), ('ac:00:05:00:00:01', U&'Ger\00E4tebau \30AB'),
    -- multicast, and locally administered ones, which nobody assigned
    ('01:00:5e:00:00:01', NULL), ('02:00:5e:00:00:01', NULL), ('03:00:5e:00:00:01', NULL), ('ae:00:01:00:00:01', NULL), ('ff:ff:ff:ff:ff:ff', NULL), ('00:00:00:00:00:00', NULL)) v(mac, vendor);
SELECT is(eiot.oui_vendor(NULL), NULL, 'null');
SELECT results_eq('SELECT DISTINCT registry, bits FROM eiot.oui', $$VALUES ('MA-L', 24::smallint)$$, 'blocks of 24 bits');

SELECT is(eiot.load_oui('MA-M', pg_temp.csv('MA-M,F400011,Medium One,x', 'MA-M,F40001F,Medium Last,x', 'MA-M,AC00017,Medium in Plain,x', 'MA-M,B800002,Medium alone,x')), 4::bigint, 'MA-M');
SELECT is(eiot.load_oui('MA-S', pg_temp.csv('MA-S,F40001123,Small in Medium One,x', 'MA-S,F40001200,Small in Wide,x', 'MA-S,B80000FFF,Small alone,x')), 3::bigint, 'MA-S');
SELECT is(eiot.load_oui('IAB', pg_temp.csv('IAB,0050C2001,Individual,x', 'IAB,F40001200,Taken already,x')), 1::bigint, 'IAB; a block that another registry has stays there');
SELECT is(eiot.oui_vendor(mac::macaddr), vendor, mac)
  FROM (VALUES
    ('f4:00:01:00:00:00', 'Wide Blocks'), ('f4:00:01:0f:ff:ff', 'Wide Blocks'), ('f4:00:01:10:00:00', 'Medium One'), ('f4:00:01:1f:ff:ff', 'Medium One'), ('f4:00:01:20:10:00', 'Wide Blocks'),
    ('f4:00:01:12:30:00', 'Small in Medium One'), ('f4:00:01:12:3f:ff', 'Small in Medium One'), ('f4:00:01:12:2f:ff', 'Medium One'), ('f4:00:01:12:40:00', 'Medium One'),
    ('f4:00:01:20:00:00', 'Small in Wide'), ('f4:00:01:20:0f:ff', 'Small in Wide'), ('f4:00:01:f0:00:00', 'Medium Last'), ('f4:00:01:ff:ff:ff', 'Medium Last'),
    ('ac:00:01:70:00:00', 'Medium in Plain'), ('ac:00:01:80:00:00', 'Plain GmbH'), ('b8:00:00:20:00:00', 'Medium alone'), ('b8:00:00:30:00:00', NULL), ('b8:00:00:ff:f0:00', 'Small alone'),
    ('b8:00:00:ff:e0:00', NULL), ('00:50:c2:00:10:00', 'Individual'), ('00:50:c2:00:20:00', NULL), ('b6:00:00:20:00:00', NULL)) v(mac, vendor);

-- ==== a change is seen at once

SELECT lives_ok($$UPDATE eiot.oui SET vendor = 'Renamed' WHERE prefix = 'ac:00:02:00:00:00'$$, 'UPDATE');
SELECT is(eiot.oui_vendor('ac:00:02:00:00:01'), 'Renamed', 'is seen by the next statement');
SELECT lives_ok($$INSERT INTO eiot.oui (prefix, bits, vendor, registry) VALUES ('ac:00:02:50:00:00', 28, 'Inserted', 'MA-M')$$, 'INSERT');
SELECT is(eiot.oui_vendor('ac:00:02:5f:00:01'), 'Inserted', 'too');
SELECT lives_ok($$DELETE FROM eiot.oui WHERE prefix = 'ac:00:02:50:00:00'$$, 'DELETE');
SELECT is(eiot.oui_vendor('ac:00:02:5f:00:01'), 'Renamed', 'too');
SAVEPOINT emptied;
SELECT lives_ok('TRUNCATE eiot.oui', 'TRUNCATE');
SELECT is(eiot.oui_vendor('ac:00:02:5f:00:01'), NULL, 'too');
ROLLBACK TO emptied;
SELECT is(eiot.oui_vendor('ac:00:02:5f:00:01'), 'Renamed', 'and ROLLBACK');

-- ==== a registry is replaced as a whole, and alone

SELECT is(eiot.load_oui('MA-L', pg_temp.csv('MA-L,00005E,Second Edition,x')), 1::bigint, 'a second edition');
SELECT is(eiot.oui_vendor(mac::macaddr), vendor, mac || ' in the second edition')
  FROM (VALUES ('00:00:5e:00:00:01', 'Second Edition'), ('ac:00:02:00:00:01', NULL), ('f4:00:01:00:00:00', NULL), ('f4:00:01:10:00:00', 'Medium One'), ('f4:00:01:12:30:00', 'Small in Medium One'),
               ('ac:00:01:70:00:00', 'Medium in Plain')) v(mac, vendor);
SELECT bag_eq('SELECT registry, count(*) FROM eiot.oui GROUP BY registry', $$VALUES ('MA-L', 1::bigint), ('MA-M', 4), ('MA-S', 3), ('IAB', 1)$$, 'the others stay');

-- ---- forms of the same text

SELECT is(eiot.load_oui('MA-L', text), blocks, what)
  FROM (VALUES
    ('CRLF', E'Registry,Assignment,Organization Name,Organization Address\r\nMA-L,AC0001,One,"x\r\ny"\r\nMA-L,AC0002,"Two",z\r\n', 2::bigint),
    ('a byte order mark', U&'\FEFF' || E'Registry,Assignment,Organization Name,Organization Address\nMA-L,AC0001,One,x\n', 1),
    ('both', U&'\FEFF' || E'Registry,Assignment,Organization Name,Organization Address\r\nMA-L,AC0001,One,x\r\n', 1),
    ('no line end behind the last line', E'Registry,Assignment,Organization Name,Organization Address\nMA-L,AC0001,One,x\nMA-L,AC0002,Two,x', 2),
    ('no line end behind a quoted field', E'Registry,Assignment,Organization Name,Organization Address\nMA-L,AC0001,One,"x, y"', 1),
    ('empty lines at the end', E'Registry,Assignment,Organization Name,Organization Address\nMA-L,AC0001,One,x\n\n\r\n', 1),
    ('commas in an address without quotes', E'Registry,Assignment,Organization Name,Organization Address\nMA-L,AC0001,One,x, y, z\n', 1),
    ('nobody in it', E'Registry,Assignment,Organization Name,Organization Address\n', 0)) v(what, text, blocks);
SELECT is(eiot.load_oui('MA-L', E'Registry,Assignment,Organization Name,Organization Address\r\nMA-L,AC0001,One,"x\r\ny"\r\nMA-L,AC0002,"Two",z\r\n'), 2::bigint, 'CRLF once more');
SELECT is(eiot.oui_vendor('ac:00:02:00:00:01'), 'Two', 'no CR gets into a name');

-- ==== refused: told why, and nothing changes

CREATE TEMP TABLE before_refusal AS SELECT * FROM eiot.oui;
CREATE TEMP TABLE refusal AS
  SELECT v.*, t.*
    FROM (VALUES
      (1, 'an unknown registry', 'MA-X', pg_temp.csv('MA-X,AC0009,One,x'), '22023', 'MA-X'),
      (2, 'a registry in lower case', 'ma-l', pg_temp.csv('MA-L,AC0009,One,x'), '22023', 'ma-l'),
      (3, 'no registry', NULL, pg_temp.csv('MA-L,AC0009,One,x'), '22023', 'NULL'),
      (4, 'no text', 'MA-L', NULL, '22004', 'null'),
      (5, 'an empty text', 'MA-L', '', '22023', 'not a registry'),
      (6, 'another header', 'MA-L', E'Prefix,Vendor\nAC0009,One\n', '22023', 'Prefix,Vendor'),
      (7, 'a header and more in its line', 'MA-L', E'Registry,Assignment,Organization Name,Organization Address,More\nMA-L,AC0009,One,x,y\n', '22023', 'not a registry'),
      (8, 'no header', 'MA-L', E'MA-L,AC0009,One,x\n', '22023', 'MA-L,AC0009'),
      (9, 'the text form of the registry', 'MA-L', E'OUI/MA-L                       Organization\n', '22023', 'OUI/MA-L'),
      (10, 'another registry''s file', 'MA-L', pg_temp.csv('MA-M,AC00091,One,x'), '22023', 'MA-M,AC00091'),
      (11, 'a row of another registry', 'MA-L', pg_temp.csv('MA-L,AC0009,One,x', 'MA-M,AC00091,Two,x'), '22023', 'MA-M,AC00091'),
      (12, 'too few digits', 'MA-L', pg_temp.csv('MA-L,AC0009,One,x', 'MA-L,AC000,Two,x'), '22023', 'AC000'),
      (13, 'too many digits', 'MA-M', pg_temp.csv('MA-M,AC0009123,One,x'), '22023', 'AC0009123'),
      (14, 'digits that are none', 'MA-L', pg_temp.csv('MA-L,AC000G,One,x'), '22023', 'AC000G'),
      (15, 'no assignment', 'MA-L', pg_temp.csv('MA-L,,One,x'), '22023', 'MA-L,,One'),
      (16, 'too few fields', 'MA-L', pg_temp.csv('MA-L,AC0009,One,x', 'MA-L,AC000A'), '22023', 'MA-L,AC000A'),
      (17, 'a line of text between', 'MA-L', pg_temp.csv('MA-L,AC0009,One,x', 'something else', 'MA-L,AC000A,Two,x'), '22023', 'something else'),
      (18, 'a quote that never ends', 'MA-L', pg_temp.csv('MA-L,AC0009,"One,x', 'MA-L,AC000A,Two,x'), '22023', 'AC0009')) v(n, what, registry, csv, wanted, part)
   CROSS JOIN LATERAL pg_temp.told(format('SELECT eiot.load_oui(%L, %L)', v.registry, v.csv)) t;
SELECT is(code, wanted, format('%s is refused', what)) FROM refusal ORDER BY n;
SELECT ok(strpos(message, part) > 0, format('%s is named: %s', what, replace(message, E'\n', ' '))) FROM refusal ORDER BY n;
SELECT matches((SELECT hint FROM refusal WHERE n = 1), 'MA-L, MA-M, MA-S or IAB', 'the registries that there are');
SELECT is_empty('(TABLE eiot.oui EXCEPT TABLE before_refusal) UNION ALL (TABLE before_refusal EXCEPT TABLE eiot.oui)', 'every block is as before');
SELECT is((SELECT count(*) FROM eiot.oui), (SELECT count(*) FROM before_refusal), 'once');
SELECT is(eiot.oui_vendor('ac:00:02:00:00:01'), 'Two', 'and found');

-- ==== what Debian's package ieee-data has, if it is there

\set ieee `test -r /usr/share/ieee-data/oui.csv && test -r /usr/share/ieee-data/mam.csv && test -r /usr/share/ieee-data/oui36.csv && test -r /usr/share/ieee-data/iab.csv && echo true || echo false`
\if :ieee
\set mal `cat /usr/share/ieee-data/oui.csv`
\set mam `cat /usr/share/ieee-data/mam.csv`
\set mas `cat /usr/share/ieee-data/oui36.csv`
\set iab `cat /usr/share/ieee-data/iab.csv`
CREATE TEMP TABLE published (registry text, csv text);
INSERT INTO published VALUES ('MA-L', :'mal'), ('MA-M', :'mam'), ('MA-S', :'mas'), ('IAB', :'iab');
TRUNCATE eiot.oui;
CREATE TEMP TABLE loaded AS SELECT registry, csv, eiot.load_oui(registry, csv) AS blocks FROM published;
-- COPY reads CSV as well. Of an assignment that stands twice the first counts.
CREATE TEMP TABLE copied (n serial, registry text, assignment text, vendor text, address text);
\copy copied (registry, assignment, vendor, address) FROM '/usr/share/ieee-data/oui.csv' (FORMAT csv, HEADER)
\copy copied (registry, assignment, vendor, address) FROM '/usr/share/ieee-data/mam.csv' (FORMAT csv, HEADER)
\copy copied (registry, assignment, vendor, address) FROM '/usr/share/ieee-data/oui36.csv' (FORMAT csv, HEADER)
\copy copied (registry, assignment, vendor, address) FROM '/usr/share/ieee-data/iab.csv' (FORMAT csv, HEADER)
CREATE TEMP TABLE expected AS
  SELECT DISTINCT ON (upper(assignment)) rpad(assignment, 12, '0')::macaddr AS prefix, (length(assignment) * 4)::smallint AS bits, btrim(vendor) AS vendor, registry
    FROM copied ORDER BY upper(assignment), n;
SELECT is(l.blocks, e.blocks, format('%s as published: %s blocks', l.registry, l.blocks))
  FROM loaded l JOIN (SELECT registry, count(*) AS blocks FROM expected GROUP BY registry) e USING (registry) ORDER BY l.registry;
SELECT is_empty('(TABLE eiot.oui EXCEPT TABLE expected) UNION ALL (TABLE expected EXCEPT TABLE eiot.oui)', 'every block, and every name as COPY reads it');
-- The longest prefix by the table, for an address in and one behind each of a thousand blocks.
SELECT is_empty($$SELECT m.mac, eiot.oui_vendor(m.mac) AS found, l.vendor AS expected
                    FROM (SELECT prefix, bits FROM eiot.oui ORDER BY md5(prefix::text || bits) LIMIT 1000) b
                   CROSS JOIN LATERAL (VALUES ((b.prefix | '00:00:00:00:0a:bc'::macaddr)), ((b.prefix | '00:00:00:0f:ff:ff'::macaddr)), ((b.prefix | '00:00:00:ff:ff:ff'::macaddr))) m(mac)
                    LEFT JOIN LATERAL (SELECT o.vendor FROM eiot.oui o
                                        WHERE (o.prefix, o.bits) IN ((trunc(m.mac), 24::smallint), (m.mac & 'ff:ff:ff:f0:00:00'::macaddr, 28), (m.mac & 'ff:ff:ff:ff:f0:00'::macaddr, 36))
                                        ORDER BY o.bits DESC LIMIT 1) l ON true
                   WHERE NOT (m.mac & '02:00:00:00:00:00'::macaddr = '02:00:00:00:00:00') AND eiot.oui_vendor(m.mac) IS DISTINCT FROM l.vendor$$,
                'every address has the vendor of the longest prefix');
SELECT is_empty($$SELECT prefix FROM eiot.oui WHERE prefix & '02:00:00:00:00:00'::macaddr = '02:00:00:00:00:00' AND eiot.oui_vendor(prefix) IS NOT NULL$$, 'but for those that are locally administered');
\else
SELECT skip('the package ieee-data is not there', 7);
\endif

SELECT * FROM finish();
ROLLBACK;
