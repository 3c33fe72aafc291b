-- German and abbreviated names, quoted mixed case, and one table name in two schemas.
CREATE SCHEMA verkauf;
CREATE SCHEMA archiv;
CREATE SCHEMA personal;
CREATE TABLE verkauf."Kunde" (
    "KundenNr" integer PRIMARY KEY, "Vorname" text NOT NULL, "Nachname" text NOT NULL, "Ort" text, "Gesperrt" boolean NOT NULL,
    "AngelegtAm" date NOT NULL);
CREATE TABLE verkauf.bestellungen (
    best_nr integer PRIMARY KEY, kd_nr integer NOT NULL REFERENCES verkauf."Kunde", best_dat date NOT NULL,
    sts char(1) NOT NULL CHECK (sts IN ('O', 'B', 'S')), betrag numeric(12, 2) NOT NULL);
CREATE TABLE archiv.bestellungen (best_nr integer PRIMARY KEY, best_dat date NOT NULL, betrag numeric(12, 2) NOT NULL);
CREATE TABLE verkauf.rechnung (re_nr integer PRIMARY KEY, best_nr integer REFERENCES verkauf.bestellungen, bezahlt_am date);
CREATE TABLE archiv.rechnung (re_nr integer PRIMARY KEY, betrag numeric(12, 2));
CREATE TABLE public.art (art_nr text PRIMARY KEY, bez text NOT NULL, vk_preis numeric(10, 2) NOT NULL, lager_best integer NOT NULL, wgr_id integer);
CREATE TABLE public.wgr (wgr_id integer PRIMARY KEY, bez text NOT NULL);
ALTER TABLE art ADD FOREIGN KEY (wgr_id) REFERENCES wgr;
CREATE TABLE public."UserAccounts" (
    "accountId" integer PRIMARY KEY, "loginName" text NOT NULL, "isEnabled" boolean, "lastLoginAt" timestamp, "accountType" text NOT NULL);
CREATE TABLE personal.mitarb (
    mitarb_id integer PRIMARY KEY, nachname text NOT NULL, gehalt numeric(10, 2), vorg_id integer REFERENCES personal.mitarb, abt_id integer);
CREATE TABLE personal.abt (abt_id integer PRIMARY KEY, bez text NOT NULL);
ALTER TABLE personal.mitarb ADD FOREIGN KEY (abt_id) REFERENCES personal.abt;
COMMENT ON TABLE verkauf."Kunde" IS 'customers';
COMMENT ON TABLE art IS 'articles';
COMMENT ON COLUMN art.bez IS 'label';
COMMENT ON COLUMN art.vk_preis IS 'sales price';
COMMENT ON COLUMN art.lager_best IS 'stock';
COMMENT ON TABLE wgr IS 'product groups';
COMMENT ON COLUMN verkauf.bestellungen.best_dat IS 'order date';
COMMENT ON COLUMN verkauf.bestellungen.betrag IS 'amount';
COMMENT ON TABLE personal.mitarb IS 'employees';
COMMENT ON COLUMN personal.mitarb.gehalt IS 'salary';
COMMENT ON COLUMN personal.mitarb.nachname IS 'last name';
COMMENT ON COLUMN personal.mitarb.vorg_id IS 'supervisor';
COMMENT ON TABLE personal.abt IS 'departments';
INSERT INTO verkauf."Kunde" VALUES
    (10, 'Jörg', 'Müller', 'Köln', false, '2023-01-01'), (11, 'Anna', 'Groß', 'Bonn', true, '2024-04-01'), (12, 'Uwe', 'Adler', 'Köln', false, '2025-03-03');
INSERT INTO verkauf.bestellungen VALUES
    (100, 10, '2024-12-30', 'B', 99.90), (101, 10, '2025-03-10', 'O', 15.00), (102, 12, '2025-03-14', 'O', 250.00);
INSERT INTO archiv.bestellungen VALUES (1, '2001-01-01', 5.00);
INSERT INTO verkauf.rechnung VALUES (500, 100, '2025-01-05'), (501, 101, NULL);
INSERT INTO archiv.rechnung VALUES (1, 5.00);
INSERT INTO wgr VALUES (1, 'Schrauben'), (2, 'Werkzeug');
INSERT INTO art VALUES ('A1', 'Hammer', 19.90, 5, 2), ('A2', 'Zange', 24.50, 0, 2), ('A3', 'M6x20', 0.10, 9000, 1), ('A4', 'Eimer', 4.00, 12, NULL);
INSERT INTO "UserAccounts" VALUES (1, 'jm', true, '2025-03-14 10:00', 'internal'), (2, 'ag', false, NULL, 'external'), (3, 'ua', NULL, '2024-01-01 00:00', 'internal');
INSERT INTO personal.abt VALUES (1, 'Einkauf'), (2, 'Versand'), (3, 'Labor');
INSERT INTO personal.mitarb VALUES (1, 'Abel', 70000, NULL, 1), (2, 'Berg', 42000, 1, 1), (3, 'Cohn', 39000, 1, 2), (4, 'Dorn', NULL, 3, 2);
