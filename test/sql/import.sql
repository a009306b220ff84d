-- What an import says.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
\set fabrikam '''d1000000-0000-4000-8000-000000000001'''

INSERT INTO eiot.tenant (tenant_id, name) VALUES (:fabrikam, 'Fabrikam');

-- ---- Graph: subscribedSkus

\set body `cat "$PG_ABS_SRCDIR/data/fabrikam/subscribedSkus.json"`
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-12');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-13');
\set body `cat "$PG_ABS_SRCDIR/data/fabrikam/subscribedSkus-plus-4.json"`
SELECT part_number, change, enabled, warning, suspended, locked_out, assigned, note FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-14');
\set body `cat "$PG_ABS_SRCDIR/data/fabrikam/subscribedSkus-241.json"`
SELECT part_number, change, enabled, assigned, note FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-15') ORDER BY change;
SELECT s.name, e.units, e.assigned_units, e.state, e.valid, e.source
  FROM eiot.entitlement e JOIN eiot.sku s USING (sku_id)
 WHERE e.tenant_id = :fabrikam
 ORDER BY lower(e.valid), s.name;
SELECT as_of::date, eiot.capacity_at(:fabrikam, as_of) FROM generate_series(timestamptz '2026-08-11', '2026-08-15', '1 day') as_of;

-- Notes.
SELECT part_number, change, enabled, assigned, note
  FROM eiot.import_subscribed_skus(:fabrikam,
         '[{"skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "skuPartNumber": "SPE_E5", "prepaidUnits": {"enabled": 5}, "consumedUnits": 6},
           {"skuId": "d1000000-0000-4000-8000-0000000000ff", "skuPartNumber": "BRAND_NEW", "prepaidUnits": {"enabled": 1}, "consumedUnits": 2}]', '2026-08-16')
 ORDER BY part_number COLLATE "C";
SELECT part_number, name, kind, devices_per_unit, basis, shipped FROM eiot.sku WHERE part_number = 'BRAND_NEW';

-- What is refused.
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, '[]', '2026-08-15');
SELECT * FROM eiot.import_subscribed_skus('d1000000-0000-4000-8000-00000000ffff', '[]', '2026-08-17');
\set body `cat "$PG_ABS_SRCDIR/data/bad/graph-error.json"`
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-17');
\set body `cat "$PG_ABS_SRCDIR/data/bad/machines.json"`
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-17');
\set body `cat "$PG_ABS_SRCDIR/data/bad/subscribedSkus-negative-units.json"`
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-17');
\set body `cat "$PG_ABS_SRCDIR/data/bad/subscribedSkus-fractional-units.json"`
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-17');
\set body `cat "$PG_ABS_SRCDIR/data/bad/subscribedSkus-missing-skuId.json"`
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-17');
\set body `cat "$PG_ABS_SRCDIR/data/bad/subscribedSkus-missing-prepaidUnits.json"`
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, :'body', '2026-08-17');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, '[{"skuId": "SPE_E5", "prepaidUnits": {"enabled": 5}}]', '2026-08-17');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, '[{"skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "prepaidUnits": {"enabled": 1e20}}]', '2026-08-17');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam,
  '[{"skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "prepaidUnits": {"enabled": 5}}, {"skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "prepaidUnits": {"enabled": 6}}]', '2026-08-17');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, '{"@odata.nextLink": "https://graph.microsoft.com/next", "value": []}', '2026-08-17');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, '{"SPE_E5": 5}', '2026-08-17');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, '5', '2026-08-17');
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, NULL);
SELECT * FROM eiot.import_subscribed_skus(:fabrikam, '[]', 'infinity');
SELECT eiot.capacity_at(:fabrikam, '2026-08-17');

-- ---- advanced hunting: DeviceInfo

CREATE SCHEMA import_test;
SELECT eiot.create_inventory('import_test.device');
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam,
  '{"Results": [{"DeviceId": "p1", "Timestamp": "2026-08-01T10:00:00Z", "DeviceName": "printer", "DeviceCategory": "IoT", "DeviceManualTags": "[\"floor-1\"]", "IPAddress": "10.0.0.1"},
                {"DeviceId": "p1", "Timestamp": "2026-08-11T10:00:00.1234567Z", "DeviceName": "printer-1", "DeviceCategory": "IoT", "DeviceManualTags": "[\"floor-2\",\"lobby\"]", "IPAddress": "10.0.0.1"},
                {"DeviceId": "w1", "Timestamp": "2026-08-11T11:00:00Z", "DeviceName": "laptop", "DeviceCategory": "Endpoint", "OnboardingStatus": "Onboarded", "IPAddress": "10.0.0.2"},
                {"DeviceId": "s1", "Timestamp": "2026-08-11T12:00:00Z", "DeviceName": "switch", "DeviceCategory": "NetworkDevice", "MacAddress": "3C-D9-2B-00-00-01", "SomethingNew": 1}]}');
SELECT device_id, name, class, onboarding_status, mac, ip, tags, first_seen, last_seen FROM import_test.device ORDER BY 1;
-- Older rows and rows that are known.
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam,
  '[{"DeviceId": "p1", "Timestamp": "2026-07-01T10:00:00Z", "DeviceName": "prn"}, {"DeviceId": "w1", "Timestamp": "2026-08-11T11:00:00Z", "DeviceName": "laptop"}]');
SELECT device_id, name, class, onboarding_status, tags, first_seen, last_seen FROM import_test.device ORDER BY 1;
SELECT * FROM eiot.explain_count('import_test.device', :fabrikam, '2026-08-12');

-- Bad rows stop it, or are kept apart.
\set body `cat "$PG_ABS_SRCDIR/data/bad/DeviceInfo-mixed.json"`
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body');
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body', on_error => 'reject');
SELECT inventory, ordinal, reason, body ->> 'DeviceName' AS device_name FROM eiot.import_reject WHERE tenant_id = :fabrikam ORDER BY ordinal;
SELECT count(*) FROM import_test.device;

-- What is refused.
\set body `cat "$PG_ABS_SRCDIR/data/bad/DeviceInfo-bad-Timestamp.json"`
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body');
\set body `cat "$PG_ABS_SRCDIR/data/bad/DeviceInfo-future-Timestamp.json"`
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body');
\set body `cat "$PG_ABS_SRCDIR/data/bad/DeviceInfo-bad-IsExcluded.json"`
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body');
\set body `cat "$PG_ABS_SRCDIR/data/bad/DeviceInfo-missing-DeviceId.json"`
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body');
\set body `cat "$PG_ABS_SRCDIR/data/bad/DeviceInfo-scalar.json"`
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body');
\set body `cat "$PG_ABS_SRCDIR/data/bad/machines.json"`
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, :'body');
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, '[{"DeviceId": "a", "Timestamp": "2026-08-01"}, 7]');
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, jsonb_build_array(jsonb_build_object('DeviceId', 'a', 'Timestamp', '2026-08-01', 'Model', repeat('x', 65537))));
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, '{"@odata.nextLink": "https://api.security.microsoft.com/next", "value": []}');
SELECT * FROM eiot.import_device_info('import_test.device', :fabrikam, '[]', on_error => 'ignore');
SELECT * FROM eiot.import_device_info('import_test.device', 'd1000000-0000-4000-8000-00000000ffff', '[]');
SELECT * FROM eiot.import_device_info('eiot.tenant', :fabrikam, '[]');
SELECT count(*) FROM import_test.device;

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA import_test CASCADE;
DELETE FROM eiot.entitlement WHERE tenant_id = :fabrikam;
DELETE FROM eiot.tenant WHERE tenant_id = :fabrikam;
DELETE FROM eiot.sku WHERE part_number = 'BRAND_NEW';
SELECT count(*) FROM eiot.import_reject WHERE tenant_id = :fabrikam;
