-- Classification as a user sees it, with what the extension ships.
SET TimeZone = 'UTC';
-- labels
SELECT v.*, eiot.classify(category, type, subtype, os_platform)
  FROM (VALUES ('IoT', 'Camera', NULL, NULL), ('NetworkDevice', NULL, NULL, NULL), ('Network device', NULL, NULL, NULL), ('IoT/OT devices', 'PLC', NULL, NULL),
               (NULL, 'Workstation', NULL, 'Windows11'), (NULL, NULL, 'Smart TV', NULL), (NULL, NULL, NULL, 'IOS XE'), (NULL, NULL, NULL, NULL)) v(category, type, subtype, os_platform);
-- evidence, by the starter set
SELECT v.kind, i.*
  FROM (VALUES ('snmp.sys_description', 'HP ETHERNET MULTI-ENVIRONMENT,SN:XXXXXXXXXX,FN:XXXXXXX,SVCID:00000,PID:HP LaserJet 9999'),
               ('snmp.sys_description', ' ; AXIS Q9999; Network Camera; 9.99.9; Jan 01 2020 00:00; 000; 1;'),
               ('http_header.server', 'debut/1.30'),
               ('http_header.server', 'App-webs/'),
               ('html_title', 'S7-1200 station_1'),
               ('mdns.device-info.txt', 'model=iPhone99,9'),
               ('sip_header.user_agent', 'Cisco-CP9999/1.2.3'),
               ('http_header.server', 'something else'),
               ('no.such.kind', 'debut/1.30')) v(kind, evidence)
 CROSS JOIN LATERAL eiot.identify(v.kind, v.evidence) i;
SELECT * FROM eiot.identify('{"http_header.server": "App-webs/", "html_title": ["nothing", "APC | Log On"], "snmp.sys_description": null}'::jsonb);
SELECT * FROM eiot.match_fingerprint('sip_header.user_agent', 'Cisco-CP9999/1.2.3');
SELECT * FROM eiot.check_fingerprints();
-- a document of rules
SELECT eiot.load_fingerprints('
<fingerprints matches="toaster.banner" preference="0.4">
  <fingerprint pattern="^Toaster/(\d+)(?: \((\w+)\))?$" flags="REG_ICASE">
    <description>A toaster</description>
    <example hw.version="3" hw.product="Golden">Toaster/3 (Golden)</example>
    <example hw.version="4">TOASTER/3</example>
    <param pos="0" name="hw.device" value="Sensor"/>
    <param pos="0" name="hw.vendor" value="Crumb &amp; Co"/>
    <param pos="1" name="hw.version"/>
    <param pos="2" name="hw.product"/>
    <param pos="0" name="hw.cpe23" value="cpe:/h:crumb:{hw.product}:{hw.version}"/>
  </fingerprint>
</fingerprints>');
SELECT class, device_type, vendor, product, certainty FROM eiot.identify('toaster.banner', 'toaster/3 (Golden)');
SELECT attributes FROM eiot.match_fingerprint('toaster.banner', 'toaster/3');
SELECT kind_checked, evidence, problem, expected, found FROM eiot.check_fingerprints('toaster.banner');
-- what is refused
\set SHOW_CONTEXT never
\set VERBOSITY default
SELECT eiot.load_fingerprints('<fingerprints matches="toaster.banner"><fingerprint pattern="^Toaster/(\d+"><description>A toaster</description></fingerprint></fingerprints>');
SELECT eiot.load_fingerprints('<fingerprints matches="toaster.banner"><fingerprint pattern="^Toaster/"><description>A toaster</description><param pos="1" name="hw.version"/></fingerprint></fingerprints>');
SELECT eiot.load_fingerprints('<fingerprints matches="toaster.banner"><fingerprint pattern="a" flags="REG_TOAST"/></fingerprints>');
SELECT eiot.load_fingerprints('<fingerprints matches="toaster.banner"><fingerprint pattern="a"><param pos="0" name="hw.version"/></fingerprint></fingerprints>');
SELECT eiot.load_fingerprints('<fingerprints><fingerprint pattern="a"/></fingerprints>');
SELECT eiot.load_fingerprints('<toasters/>');
SELECT eiot.load_fingerprints(NULL);
SELECT eiot.identify(repeat('k', 64), 'x');
SELECT class, product FROM eiot.identify('toaster.banner', 'toaster/3 (Golden)');
-- a user's own rule comes first; one that explodes is left out, with a warning
INSERT INTO eiot.fingerprint (fingerprint_id, kind, ordinal, pattern, description, params)
VALUES (9000001, 'toaster.banner', 1, '^(?:T+)+$', 'explodes', '[]'),
       (9000002, 'toaster.banner', 2, '^T', 'anything with T', '[{"pos": 0, "name": "hw.device", "value": "PLC"}]');
SELECT * FROM eiot.identify('toaster.banner', 'Toaster/3');
SELECT * FROM eiot.identify('toaster.banner', repeat('T', 50) || '!');
SELECT * FROM eiot.identify('toaster.banner', repeat('T', 50) || '!');
-- a user's own class
BEGIN;
UPDATE eiot.device_type SET class = 'bms' WHERE device_type = 'PLC' RETURNING device_type, class, shipped;
SELECT * FROM eiot.identify('toaster.banner', 'Toaster/3');
ROLLBACK;
SELECT * FROM eiot.identify('toaster.banner', 'Toaster/3');
-- vendors by address
SELECT eiot.load_oui('MA-L', E'Registry,Assignment,Organization Name,Organization Address\r\nMA-L,AC0001,"Crumb, Sons & Co","1, Toast Road"\r\nMA-L,AC0002,Plain,\r\n');
SELECT eiot.load_oui('MA-S', E'Registry,Assignment,Organization Name,Organization Address\nMA-S,AC0002123,Part of Plain,x\n');
SELECT mac, eiot.oui_vendor(mac)
  FROM (VALUES (macaddr 'ac:00:01:00:00:01'), ('ac:00:02:12:30:01'), ('ac:00:02:12:40:01'), ('ae:00:01:00:00:01'), ('ac:00:03:00:00:01')) v(mac);
SELECT eiot.load_oui('MA-Q', '');
SELECT eiot.load_oui('MA-L', 'Prefix,Vendor');
SELECT eiot.load_oui('MA-L', E'Registry,Assignment,Organization Name,Organization Address\nMA-L,AC0001,Crumb,x\nMA-M,AC00011,Bit,x\n');
SELECT registry, bits, prefix, vendor FROM eiot.oui ORDER BY prefix, bits;
-- an inventory
INSERT INTO eiot.tenant (tenant_id, name) VALUES ('7c000000-0000-4000-8000-000000000001', 'Crumb');
CREATE SCHEMA classified;
SELECT eiot.create_inventory('classified.device');
INSERT INTO classified.device (tenant_id, device_id, category, mac, evidence, class_override)
SELECT '7c000000-0000-4000-8000-000000000001', v.*
  FROM (VALUES ('1 evidence', NULL, NULL, '{"html_title": "Welcome to QNAP Turbo NAS"}'::jsonb, NULL::eiot.device_class),
               ('2 label', 'Endpoint', NULL, '{"http_header.server": "debut/1.30"}', NULL),
               ('3 override', 'Endpoint', NULL, '{"http_header.server": "debut/1.30"}', 'medical'),
               ('4 address', NULL, macaddr 'ac:00:01:00:00:01', NULL, NULL),
               ('5 nothing', NULL, NULL, NULL, NULL)) v;
SELECT * FROM eiot.identify_inventory('classified.device');
SELECT device_id, category, class_override, identified_class, class, vendor, model FROM classified.device ORDER BY device_id;
SELECT devices, identified, changed FROM eiot.identify_inventory('classified.device');
-- as it was
SET client_min_messages = warning;
DROP SCHEMA classified CASCADE;
DELETE FROM eiot.tenant WHERE name = 'Crumb';
DELETE FROM eiot.oui;
DELETE FROM eiot.fingerprint WHERE kind = 'toaster.banner';
DELETE FROM eiot.fingerprint_kind WHERE kind = 'toaster.banner';
