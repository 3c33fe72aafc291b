-- The demo's database: a shop, its stock and its support desk. The same rows for the same day.
-- Runs in one transaction. tools/sample.py puts another day into pg_temp.today().

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';

CREATE SCHEMA support;

-- The day on which the data end.
CREATE FUNCTION pg_temp.today() RETURNS date LANGUAGE sql IMMUTABLE AS $$ SELECT date '2025-06-30' $$;

-- A number from 0 to `below` - 1 that depends on nothing but its arguments.
CREATE FUNCTION pg_temp.pick(seed text, n bigint, below int) RETURNS int
  LANGUAGE sql IMMUTABLE AS $$ SELECT mod(hashtextextended(seed || n, 0) & 1073741823, below)::int $$;

CREATE TYPE customer_tier AS ENUM ('bronze', 'silver', 'gold', 'platinum');
CREATE TYPE order_status AS ENUM ('pending', 'paid', 'shipped', 'delivered', 'cancelled', 'returned');
CREATE TYPE support.priority AS ENUM ('low', 'normal', 'high', 'urgent');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%_@_%');
CREATE TYPE address AS (street text, city text, postcode text);

-- People ----------------------------------------------------------------------------------------

CREATE TABLE users (
  id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  username      text NOT NULL UNIQUE,
  full_name     text NOT NULL,
  email         email NOT NULL UNIQUE,
  role          text NOT NULL DEFAULT 'clerk' CHECK (role IN ('clerk', 'agent', 'manager', 'admin')),
  is_active     boolean NOT NULL DEFAULT true,
  languages     text[] NOT NULL DEFAULT '{en}',
  preferences   jsonb NOT NULL DEFAULT '{}',
  last_login_at timestamptz,
  last_address  inet,
  created_at    timestamptz NOT NULL DEFAULT now(),
  deleted_at    timestamptz,
  CHECK (deleted_at IS NULL OR NOT is_active)
);
COMMENT ON TABLE users IS 'Employees who can sign in to the shop''s back office.';
COMMENT ON COLUMN users.id IS 'Number of the employee.';
COMMENT ON COLUMN users.username IS 'Name used to sign in.';
COMMENT ON COLUMN users.full_name IS 'First and last name.';
COMMENT ON COLUMN users.email IS 'Work address, unique.';
COMMENT ON COLUMN users.role IS 'What the employee does: clerk, agent, manager or admin.';
COMMENT ON COLUMN users.is_active IS 'Whether the account can sign in.';
COMMENT ON COLUMN users.languages IS 'Languages spoken, as ISO 639-1 codes.';
COMMENT ON COLUMN users.preferences IS 'Settings of the back office: theme, page size.';
COMMENT ON COLUMN users.last_login_at IS 'When the employee last signed in; NULL for never.';
COMMENT ON COLUMN users.last_address IS 'Network address of the last sign-in.';
COMMENT ON COLUMN users.created_at IS 'When the account was made.';
COMMENT ON COLUMN users.deleted_at IS 'When the account was removed; NULL while it exists.';

INSERT INTO users (username, full_name, email, role, is_active, languages, preferences,
                   last_login_at, last_address, created_at, deleted_at)
SELECT lower(first || '.' || last) || n,
       first || ' ' || last,
       lower(first || '.' || last) || n || '@shop.example',
       (ARRAY['clerk', 'clerk', 'clerk', 'agent', 'agent', 'manager', 'admin'])[1 + pg_temp.pick('role', n, 7)],
       n % 4 <> 0,
       (CASE n % 5 WHEN 0 THEN '{en,de}' WHEN 1 THEN '{fr}' WHEN 2 THEN '{en,es,pt}' ELSE '{en}' END)::text[],
       jsonb_build_object('theme', (ARRAY['light', 'dark'])[1 + n % 2], 'page_size', 25 * (1 + n % 3)),
       CASE WHEN n % 11 <> 0 THEN (pg_temp.today() + time '09:00')::timestamptz - pg_temp.pick('login', n, 5000000) * interval '1.000123 s' END,
       ('10.' || n % 4 || '.0.' || n)::inet,
       (pg_temp.today() - 1641)::timestamptz + pg_temp.pick('made', n, 1400) * interval '1 day',
       CASE WHEN n % 12 = 0 THEN (pg_temp.today() - 60)::timestamptz - n * interval '1 day' END
FROM generate_series(1, 120) AS n,
     LATERAL (SELECT (ARRAY['Ada', 'Björn', 'Chloé', 'Dmitri', 'Edith', 'Farid', 'Grace', 'Hiro', 'Inês', 'Jamal'])[1 + pg_temp.pick('first', n, 10)] AS first,
                     (ARRAY['Archer', 'Baker', 'Cho', 'Diaz', 'Evans', 'Fischer', 'García', 'Hughes', 'Ito', 'Jones', 'Khan', 'Lopez'])[1 + pg_temp.pick('last', n, 12)] AS last) AS name;

CREATE TABLE customers (
  id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name          text NOT NULL,
  email         email NOT NULL UNIQUE,
  country       char(2) NOT NULL,
  tier          customer_tier NOT NULL DEFAULT 'bronze',
  credit_limit  numeric(12, 2) NOT NULL DEFAULT 0 CHECK (credit_limit >= 0),
  ship_to       address,
  notes         text,
  joined_on     date NOT NULL,
  referred_by   int REFERENCES customers ON DELETE SET NULL
);
COMMENT ON TABLE customers IS 'Companies and people who buy.';
COMMENT ON COLUMN customers.id IS 'Number of the customer.';
COMMENT ON COLUMN customers.name IS 'Name on the invoice.';
COMMENT ON COLUMN customers.email IS 'Where invoices go.';
COMMENT ON COLUMN customers.country IS 'ISO 3166-1 alpha-2 code.';
COMMENT ON COLUMN customers.tier IS 'Loyalty tier, from bronze to platinum.';
COMMENT ON COLUMN customers.credit_limit IS 'Most that may be owed, in euros.';
COMMENT ON COLUMN customers.ship_to IS 'Default delivery address.';
COMMENT ON COLUMN customers.notes IS 'What sales wrote down; may hold tabs and line breaks.';
COMMENT ON COLUMN customers.joined_on IS 'Day of the first contact.';
COMMENT ON COLUMN customers.referred_by IS 'The customer who sent this one.';

INSERT INTO customers (name, email, country, tier, credit_limit, ship_to, notes, joined_on, referred_by)
SELECT (ARRAY['Northwind', 'Blue Ridge', 'Kestrel', 'Old Mill', 'Harbour', 'Lumen', 'Sequoia', 'Tandem', 'Vega', 'Willow'])[1 + pg_temp.pick('name', n, 10)]
         || ' ' || (ARRAY['Ltd', 'GmbH', 'SARL', 'Inc', 'Oy', 'BV'])[1 + pg_temp.pick('form', n, 6)] || ' ' || n,
       'billing@customer-' || n || '.example',
       (ARRAY['DE', 'FR', 'GB', 'US', 'FI', 'NL', 'ES', 'JP'])[1 + pg_temp.pick('country', n, 8)],
       (ARRAY['bronze', 'bronze', 'bronze', 'silver', 'silver', 'gold', 'platinum']::customer_tier[])[1 + pg_temp.pick('tier', n, 7)],
       pg_temp.pick('limit', n, 200) * 250.00,
       CASE WHEN n % 9 <> 0 THEN ROW(n || ' Main Street', (ARRAY['Berlin', 'Lyon', 'Leeds', 'Austin', 'Turku'])[1 + n % 5], lpad((n * 37 % 99999)::text, 5, '0'))::address END,
       CASE n % 6 WHEN 0 THEN E'Prefers\temail.\nCall before 10:00.' WHEN 1 THEN '' END,
       pg_temp.today() - 2372 + pg_temp.pick('joined', n, 2300),
       CASE WHEN n % 7 = 0 THEN n / 7 END
FROM generate_series(1, 400) AS n;

-- What is sold ------------------------------------------------------------------------------------

CREATE TABLE categories (
  id        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  parent_id int REFERENCES categories,
  name      text NOT NULL,
  UNIQUE (parent_id, name)
);
COMMENT ON TABLE categories IS 'The product tree.';
COMMENT ON COLUMN categories.id IS 'Number of the category.';
COMMENT ON COLUMN categories.parent_id IS 'The category above; NULL at the top.';
COMMENT ON COLUMN categories.name IS 'Name shown in the shop.';

INSERT INTO categories (parent_id, name) VALUES
  (NULL, 'Kitchen'), (NULL, 'Garden'), (NULL, 'Office'),
  (1, 'Knives'), (1, 'Pans'), (1, 'Storage'), (2, 'Tools'), (2, 'Seeds'), (3, 'Paper'), (3, 'Lamps'), (3, 'Chairs');

CREATE TABLE products (
  id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sku          text NOT NULL UNIQUE CHECK (sku ~ '^[A-Z]{3}-[0-9]{4}$'),
  category_id  int NOT NULL REFERENCES categories,
  name         text NOT NULL,
  description  text,
  price        numeric(10, 2) NOT NULL CHECK (price > 0),
  weight_kg    real,
  tags         text[] NOT NULL DEFAULT '{}',
  attributes   jsonb NOT NULL DEFAULT '{}',
  lead_time    interval,
  discontinued boolean NOT NULL DEFAULT false,
  search       tsvector GENERATED ALWAYS AS (to_tsvector('english', name || ' ' || coalesce(description, ''))) STORED
);
CREATE INDEX products_category_id ON products (category_id);
CREATE INDEX products_search ON products USING gin (search);
CREATE INDEX products_attributes ON products USING gin (attributes jsonb_path_ops);
COMMENT ON TABLE products IS 'Everything in the catalogue, with what is no longer sold.';
COMMENT ON COLUMN products.id IS 'Number of the product.';
COMMENT ON COLUMN products.sku IS 'Stock keeping unit, three letters and four digits.';
COMMENT ON COLUMN products.category_id IS 'Where it stands in the shop.';
COMMENT ON COLUMN products.name IS 'Name shown in the shop.';
COMMENT ON COLUMN products.description IS 'Text of the product page.';
COMMENT ON COLUMN products.price IS 'Current price in euros, without tax.';
COMMENT ON COLUMN products.weight_kg IS 'Shipping weight in kilograms.';
COMMENT ON COLUMN products.tags IS 'Words for filters.';
COMMENT ON COLUMN products.attributes IS 'Colour, material and sizes, as the supplier sends them.';
COMMENT ON COLUMN products.lead_time IS 'How long the supplier takes.';
COMMENT ON COLUMN products.discontinued IS 'Whether it is no longer sold.';
COMMENT ON COLUMN products.search IS 'Words of the name and description, for full-text search.';

INSERT INTO products (sku, category_id, name, description, price, weight_kg, tags, attributes, lead_time, discontinued)
SELECT (ARRAY['KIT', 'GAR', 'OFF'])[1 + n % 3] || '-' || lpad(n::text, 4, '0'),
       4 + pg_temp.pick('category', n, 8),
       adjective || ' ' || thing,
       'A ' || lower(adjective) || ' ' || lower(thing) || ' for every day, made of ' || material || '.',
       1.99 + pg_temp.pick('price', n, 25000) / 100.0,
       CASE WHEN n % 8 <> 0 THEN pg_temp.pick('weight', n, 4000) / 1000.0 END,
       CASE n % 4 WHEN 0 THEN '{}' WHEN 1 THEN '{new}' WHEN 2 THEN '{sale,"last pieces"}' ELSE '{gift}' END::text[],
       jsonb_build_object('material', material, 'colours', CASE WHEN n % 2 = 0 THEN '["red", "blue"]' ELSE '[]' END::jsonb, 'size_mm', jsonb_build_array(n % 400, n % 300, n % 200)),
       CASE WHEN n % 5 <> 0 THEN make_interval(months => n % 3, days => n % 20, hours => n % 24) END,
       n % 10 = 0
FROM generate_series(1, 200) AS n,
     LATERAL (SELECT (ARRAY['Sturdy', 'Small', 'Folding', 'Classic', 'Quiet', 'Bright'])[1 + pg_temp.pick('adjective', n, 6)] AS adjective,
                     (ARRAY['Lamp', 'Pan', 'Knife', 'Chair', 'Rake', 'Notebook', 'Jar', 'Spade'])[1 + pg_temp.pick('thing', n, 8)] AS thing,
                     (ARRAY['steel', 'oak', 'glass', 'cotton', 'paper'])[1 + pg_temp.pick('material', n, 5)] AS material) AS word;

CREATE TABLE price_history (
  product_id int NOT NULL REFERENCES products ON DELETE CASCADE,
  valid      daterange NOT NULL CHECK (NOT isempty(valid)),
  price      numeric(10, 2) NOT NULL,
  PRIMARY KEY (product_id, valid)
);
COMMENT ON TABLE price_history IS 'What each product cost, and when.';
COMMENT ON COLUMN price_history.product_id IS 'The product.';
COMMENT ON COLUMN price_history.valid IS 'From the first day to the day before the last; open at the end for the current price.';
COMMENT ON COLUMN price_history.price IS 'Price in euros, without tax.';

INSERT INTO price_history
SELECT p.id, daterange(pg_temp.today() - 911 + 180 * k, CASE WHEN k < 2 THEN pg_temp.today() - 911 + 180 * (k + 1) END),
       round(p.price * (0.85 + 0.075 * k), 2)
FROM products p, generate_series(0, 2) AS k;

CREATE TABLE warehouses (
  code       text PRIMARY KEY,
  name       text NOT NULL,
  location   point,
  opens      time NOT NULL,
  closes     time NOT NULL,
  router_mac macaddr,
  network    cidr
);
COMMENT ON TABLE warehouses IS 'Where stock is kept.';
COMMENT ON COLUMN warehouses.code IS 'Short name.';
COMMENT ON COLUMN warehouses.name IS 'Name on delivery notes.';
COMMENT ON COLUMN warehouses.location IS 'Longitude and latitude.';
COMMENT ON COLUMN warehouses.opens IS 'Opening time, local.';
COMMENT ON COLUMN warehouses.closes IS 'Closing time, local; 24:00 for round the clock.';
COMMENT ON COLUMN warehouses.router_mac IS 'Hardware address of the router.';
COMMENT ON COLUMN warehouses.network IS 'The site''s network.';
INSERT INTO warehouses VALUES
  ('BER', 'Berlin Süd', '(13.37,52.45)', '06:00', '22:00', '08:00:2b:01:02:03', '10.1.0.0/16'),
  ('LYS', 'Lyon Est', '(4.94,45.74)', '07:30', '19:45', '08:00:2b:01:02:04', '10.2.0.0/16'),
  ('LBA', 'Leeds', NULL, '00:00', '24:00', NULL, '10.3.0.0/16');

CREATE TABLE stock (
  warehouse  text NOT NULL REFERENCES warehouses,
  product_id int NOT NULL REFERENCES products,
  on_hand    int NOT NULL CHECK (on_hand >= 0),
  reserved   int NOT NULL DEFAULT 0,
  counted_at timestamp NOT NULL,
  PRIMARY KEY (warehouse, product_id)
);
COMMENT ON TABLE stock IS 'How much of each product is in each warehouse.';
COMMENT ON COLUMN stock.warehouse IS 'The warehouse.';
COMMENT ON COLUMN stock.product_id IS 'The product.';
COMMENT ON COLUMN stock.on_hand IS 'Pieces on the shelf.';
COMMENT ON COLUMN stock.reserved IS 'Pieces promised to orders.';
COMMENT ON COLUMN stock.counted_at IS 'Last count, in the warehouse''s local time.';
INSERT INTO stock
SELECT w.code, p.id, pg_temp.pick(w.code, p.id, 90), pg_temp.pick(w.code || 'r', p.id, 5),
       (pg_temp.today() - 29)::timestamp + pg_temp.pick(w.code || 'c', p.id, 2500000) * interval '1 s'
FROM warehouses w, products p WHERE pg_temp.pick(w.code || 'has', p.id, 4) > 0;

-- What was bought ---------------------------------------------------------------------------------

CREATE TABLE orders (
  id          bigint GENERATED BY DEFAULT AS IDENTITY (START WITH 10001) PRIMARY KEY,
  reference   uuid NOT NULL UNIQUE,
  customer_id int NOT NULL REFERENCES customers,
  taken_by    int REFERENCES users,
  status      order_status NOT NULL DEFAULT 'pending',
  placed_at   timestamptz NOT NULL,
  shipped_at  timestamptz CHECK (shipped_at >= placed_at),
  discount    numeric(5, 4) NOT NULL DEFAULT 0,
  gift_note   text
);
CREATE INDEX orders_customer_id_placed_at ON orders (customer_id, placed_at DESC);
CREATE INDEX orders_open ON orders (placed_at) WHERE status IN ('pending', 'paid');
COMMENT ON TABLE orders IS 'Orders, from the shop and by telephone.';
COMMENT ON COLUMN orders.id IS 'Number of the order.';
COMMENT ON COLUMN orders.reference IS 'What the customer sees.';
COMMENT ON COLUMN orders.customer_id IS 'Who ordered.';
COMMENT ON COLUMN orders.taken_by IS 'The employee who took it; NULL for the web shop.';
COMMENT ON COLUMN orders.status IS 'Where the order is.';
COMMENT ON COLUMN orders.placed_at IS 'When it was placed.';
COMMENT ON COLUMN orders.shipped_at IS 'When it left; NULL while it has not.';
COMMENT ON COLUMN orders.discount IS 'Part of the total that is taken off, 0 to 1.';
COMMENT ON COLUMN orders.gift_note IS 'Card to put in the parcel.';

INSERT INTO orders (reference, customer_id, taken_by, status, placed_at, shipped_at, discount, gift_note)
SELECT md5('order' || n)::uuid, 1 + pg_temp.pick('buyer', n, 380),
       CASE WHEN n % 3 = 0 THEN 1 + pg_temp.pick('seller', n, 120) END,
       status, placed_at,
       CASE WHEN status IN ('shipped', 'delivered', 'returned') THEN least(placed_at + (2 + pg_temp.pick('ship', n, 90)) * interval '1 hour', (pg_temp.today() + time '18:00')::timestamptz) END,
       CASE WHEN n % 6 = 0 THEN 0.05 WHEN n % 25 = 0 THEN 0.125 ELSE 0 END,
       CASE WHEN n % 40 = 0 THEN 'Happy birthday! 🎂' END
FROM generate_series(1, 2400) AS n,
     LATERAL (SELECT (pg_temp.today() + time '18:00')::timestamptz - pg_temp.pick('placed', n, 47000000) * interval '1 s' AS placed_at,
                     (ARRAY['delivered', 'delivered', 'delivered', 'delivered', 'shipped', 'paid', 'pending', 'cancelled', 'returned']::order_status[])[1 + pg_temp.pick('status', n, 9)] AS status) AS made;

CREATE TABLE order_items (
  order_id   bigint NOT NULL REFERENCES orders ON DELETE CASCADE,
  line_no    smallint NOT NULL,
  product_id int NOT NULL REFERENCES products,
  quantity   int NOT NULL CHECK (quantity > 0),
  unit_price numeric(10, 2) NOT NULL,
  total      numeric(12, 2) GENERATED ALWAYS AS (quantity * unit_price) STORED,
  PRIMARY KEY (order_id, line_no)
);
CREATE INDEX order_items_product_id ON order_items (product_id);
COMMENT ON TABLE order_items IS 'The lines of each order.';
COMMENT ON COLUMN order_items.order_id IS 'The order.';
COMMENT ON COLUMN order_items.line_no IS 'Position in the order, from 1.';
COMMENT ON COLUMN order_items.product_id IS 'What was bought.';
COMMENT ON COLUMN order_items.quantity IS 'How many pieces.';
COMMENT ON COLUMN order_items.unit_price IS 'Price of one piece in euros when it was bought.';
COMMENT ON COLUMN order_items.total IS 'Quantity times price, before the order''s discount.';

INSERT INTO order_items (order_id, line_no, product_id, quantity, unit_price)
SELECT o.id, k, p.id, 1 + pg_temp.pick('quantity' || k, o.id, 5), p.price
FROM orders o, generate_series(1, 4) AS k, products p
WHERE k <= 1 + pg_temp.pick('lines', o.id, 4) AND p.id = 1 + pg_temp.pick('product' || k, o.id, 200);

CREATE TABLE invoices (
  number   text PRIMARY KEY,
  order_id bigint NOT NULL UNIQUE REFERENCES orders,
  amount   numeric(14, 4) NOT NULL,
  issued   date NOT NULL,
  due      date NOT NULL,
  paid_at  timestamptz,
  seal     bytea NOT NULL,
  CHECK (due >= issued)
);
COMMENT ON TABLE invoices IS 'One for each order that was not cancelled.';
COMMENT ON COLUMN invoices.number IS 'Number of the invoice, without gaps in a year.';
COMMENT ON COLUMN invoices.order_id IS 'The order.';
COMMENT ON COLUMN invoices.amount IS 'To be paid, in euros with tax of 19 %.';
COMMENT ON COLUMN invoices.issued IS 'Day of the invoice.';
COMMENT ON COLUMN invoices.due IS 'Last day to pay.';
COMMENT ON COLUMN invoices.paid_at IS 'When the money came; NULL while it has not.';
COMMENT ON COLUMN invoices.seal IS 'First bytes of the SHA-256 of the printed invoice.';

INSERT INTO invoices
SELECT 'R' || to_char(o.placed_at, 'YYYY') || '-' || lpad(row_number() OVER (PARTITION BY date_trunc('year', o.placed_at) ORDER BY o.id)::text, 5, '0'),
       o.id, sum(i.total) * (1 - o.discount) * 1.19, o.placed_at::date, o.placed_at::date + 30,
       CASE WHEN o.status <> 'pending' AND o.id % 13 <> 0 THEN least(o.placed_at + (o.id % 40) * interval '1 day', (pg_temp.today() + time '18:00')::timestamptz) END,
       substring(sha256(convert_to(o.reference::text, 'UTF8')) FROM 1 FOR 8)
FROM orders o JOIN order_items i ON i.order_id = o.id
WHERE o.status <> 'cancelled'
GROUP BY o.id;
CREATE INDEX invoices_unpaid ON invoices (due) WHERE paid_at IS NULL;

-- Support -----------------------------------------------------------------------------------------

CREATE TABLE support.tickets (
  id             int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id    int NOT NULL REFERENCES customers,
  order_id       bigint REFERENCES orders,
  assignee_id    int REFERENCES users,
  subject        text NOT NULL,
  priority       support.priority NOT NULL DEFAULT 'normal',
  opened_at      timestamptz NOT NULL,
  closed_at      timestamptz,
  first_response interval,
  satisfaction   smallint CHECK (satisfaction BETWEEN 1 AND 5)
);
COMMENT ON SCHEMA support IS 'The support desk.';
COMMENT ON TABLE support.tickets IS 'What customers asked for help with.';
COMMENT ON COLUMN support.tickets.id IS 'Number of the ticket.';
COMMENT ON COLUMN support.tickets.customer_id IS 'Who asked.';
COMMENT ON COLUMN support.tickets.order_id IS 'The order it is about, if any.';
COMMENT ON COLUMN support.tickets.assignee_id IS 'Who answers; NULL while nobody does.';
COMMENT ON COLUMN support.tickets.subject IS 'First line.';
COMMENT ON COLUMN support.tickets.priority IS 'How soon it must be answered.';
COMMENT ON COLUMN support.tickets.opened_at IS 'When it came in.';
COMMENT ON COLUMN support.tickets.closed_at IS 'When it was solved; NULL while it is open.';
COMMENT ON COLUMN support.tickets.first_response IS 'Time to the first answer.';
COMMENT ON COLUMN support.tickets.satisfaction IS 'What the customer gave, 1 to 5.';

INSERT INTO support.tickets (customer_id, order_id, assignee_id, subject, priority, opened_at, closed_at, first_response, satisfaction)
SELECT o.customer_id, CASE WHEN n % 5 <> 0 THEN o.id END, CASE WHEN n % 8 <> 0 THEN 1 + pg_temp.pick('assignee', n, 120) END,
       (ARRAY['Where is my parcel?', 'The lid does not fit', 'Invoice with the wrong name', 'How do I return this?', 'Scratched on arrival'])[1 + pg_temp.pick('subject', n, 5)],
       (ARRAY['low', 'normal', 'normal', 'high', 'urgent']::support.priority[])[1 + pg_temp.pick('priority', n, 5)],
       o.placed_at + (n % 200) * interval '1 hour',
       CASE WHEN n % 4 <> 0 THEN o.placed_at + (n % 200 + 5 + n % 70) * interval '1 hour' END,
       CASE WHEN n % 8 <> 0 THEN (n % 300) * interval '1 minute 7.25 seconds' END,
       CASE WHEN n % 4 <> 0 AND n % 3 = 0 THEN 1 + pg_temp.pick('stars', n, 5) END
FROM generate_series(1, 600) AS n JOIN orders o ON o.id = 10001 + pg_temp.pick('ticket', n, 2400);

-- What happened -----------------------------------------------------------------------------------

CREATE TABLE events (
  id          bigint GENERATED ALWAYS AS IDENTITY,
  happened_at timestamptz NOT NULL,
  kind        text NOT NULL,
  user_id     int REFERENCES users,
  session     uuid,
  client      inet,
  payload     jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (id, happened_at)
) PARTITION BY RANGE (happened_at);
-- A partition for each month that has events.
DO $$
DECLARE
  month date := date_trunc('month', pg_temp.today() - 90);
BEGIN
  WHILE month <= pg_temp.today() LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
                   to_char(month, '"events_"YYYY_MM'), month, month + interval '1 month');
    EXECUTE format('COMMENT ON TABLE %I IS %L',
                   to_char(month, '"events_"YYYY_MM'), to_char(month, '"Events of "FMMonth YYYY.'));
    month := month + interval '1 month';
  END LOOP;
END $$;
CREATE INDEX events_kind ON events (kind, happened_at);
COMMENT ON TABLE events IS 'What employees did in the back office, a partition for each month.';
COMMENT ON COLUMN events.id IS 'Number of the event.';
COMMENT ON COLUMN events.happened_at IS 'When, to the microsecond.';
COMMENT ON COLUMN events.kind IS 'login, logout, view, edit or export.';
COMMENT ON COLUMN events.user_id IS 'Who did it.';
COMMENT ON COLUMN events.session IS 'The browser session.';
COMMENT ON COLUMN events.client IS 'Network address of the browser.';
COMMENT ON COLUMN events.payload IS 'What the kind of event needs: page, fields, duration in milliseconds.';

INSERT INTO events (happened_at, kind, user_id, session, client, payload)
SELECT (pg_temp.today() - 90)::timestamptz + (n * 1571.000391) * interval '1 second',
       kind, 1 + pg_temp.pick('actor', n, 120), md5('session' || n / 7)::uuid, ('10.1.' || n % 250 || '.' || n % 199)::inet,
       jsonb_build_object('page', '/orders/' || 10001 + pg_temp.pick('page', n, 2400), 'ms', pg_temp.pick('ms', n, 900))
         || CASE WHEN kind = 'edit' THEN '{"fields": ["status", "notes"], "was": null}'::jsonb ELSE '{}' END
FROM generate_series(1, 5000) AS n,
     LATERAL (SELECT (ARRAY['login', 'view', 'view', 'view', 'edit', 'export', 'logout'])[1 + pg_temp.pick('kind', n, 7)] AS kind) AS what;

-- One row for each type that programs tend to get wrong.
CREATE TABLE odd_values (
  what       text PRIMARY KEY,
  "a Number" numeric,
  big        bigint,
  float8     double precision,
  bits       bit varying,
  clock      timetz,
  stamp      timestamp,
  span       interval,
  ranges     int4multirange,
  grid       int[][],
  raw        bytea,
  document   json,
  "select"   text
);
COMMENT ON TABLE odd_values IS 'Values that are easy to show wrongly.';
COMMENT ON COLUMN odd_values.what IS 'What is odd about the row.';
COMMENT ON COLUMN odd_values."a Number" IS 'A column whose name needs quotes.';
COMMENT ON COLUMN odd_values.big IS 'More than a double can hold.';
COMMENT ON COLUMN odd_values.float8 IS 'Floating point, NaN and infinity included.';
COMMENT ON COLUMN odd_values.bits IS 'A bit string.';
COMMENT ON COLUMN odd_values.clock IS 'A time of day with a zone.';
COMMENT ON COLUMN odd_values.stamp IS 'A time without a zone.';
COMMENT ON COLUMN odd_values.span IS 'An interval, negative and mixed.';
COMMENT ON COLUMN odd_values.ranges IS 'Several ranges in one value.';
COMMENT ON COLUMN odd_values.grid IS 'An array with two dimensions.';
COMMENT ON COLUMN odd_values.raw IS 'Bytes.';
COMMENT ON COLUMN odd_values.document IS 'JSON whose keys repeat and whose spaces matter.';
COMMENT ON COLUMN odd_values."select" IS 'A column named like a keyword.';
INSERT INTO odd_values VALUES
  ('empty text is not NULL', 0, 0, 0, '', '00:00+00', '2025-01-01', '0', '{}', '{}', '', '{}', ''),
  ('NULL everywhere', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('large', 123456789012345678901234567890.000000001, 9223372036854775807, 1e308, B'10101', '24:00:00+14', 'infinity', '178000000 years', '{[1,3),[7,9]}', '{{1,2},{3,NULL}}', '\x00ff0a09', '{"a": 1,  "a": 2}', E'tab\there, line\nbreak, back\\slash'),
  ('small', -0.10, -9223372036854775808, '-Infinity', B'0', '23:59:59.999999-12', '0044-03-15 12:00:00 BC', '-1 mons +2 days -03:04:05.000006', '{(,5)}', '[0:1]={1,2}', '\xdeadbeef', 'null', 'naïve — “quotes” 😀'),
  ('not a number', 'NaN', 1, 'NaN', NULL, NULL, '-infinity', '1 day', '{empty}', '{}', NULL, '12345678901234567890', 'NULL');

-- Ready-made answers ------------------------------------------------------------------------------

CREATE VIEW active_users AS
  SELECT id, username, full_name, role, last_login_at FROM users WHERE is_active AND deleted_at IS NULL;
COMMENT ON VIEW active_users IS 'Employees who can sign in.';

CREATE VIEW monthly_revenue AS
  SELECT date_trunc('month', issued)::date AS month, count(*) AS invoices, sum(amount)::numeric(14, 2) AS revenue
  FROM invoices GROUP BY 1;
COMMENT ON VIEW monthly_revenue IS 'Invoiced each month, in euros with tax.';

CREATE MATERIALIZED VIEW product_sales AS
  SELECT p.id AS product_id, p.sku, sum(i.quantity) AS pieces, sum(i.total) AS revenue, max(o.placed_at) AS last_sold_at
  FROM products p LEFT JOIN order_items i ON i.product_id = p.id LEFT JOIN orders o ON o.id = i.order_id
  GROUP BY p.id;
CREATE UNIQUE INDEX product_sales_product_id ON product_sales (product_id);
COMMENT ON MATERIALIZED VIEW product_sales IS 'What each product sold so far, refreshed each night.';

DO $$
DECLARE
  target regclass;
BEGIN
  FOR target IN SELECT oid FROM pg_class WHERE oid IN ('active_users'::regclass, 'monthly_revenue'::regclass, 'product_sales'::regclass) LOOP
    EXECUTE (SELECT string_agg(format('COMMENT ON COLUMN %s.%I IS %L;', target, attname, initcap(replace(attname, '_', ' ')) || '.'), ' ')
             FROM pg_attribute WHERE attrelid = target AND attnum > 0);
  END LOOP;
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION vector;
    CREATE TABLE product_embeddings (
      product_id int PRIMARY KEY REFERENCES products,
      model      text NOT NULL DEFAULT 'sample',
      embedding  vector(8) NOT NULL
    );
    INSERT INTO product_embeddings (product_id, embedding)
    SELECT p.id, (SELECT array_agg((pg_temp.pick('vector' || k, p.id, 2000) - 1000) / 1000.0 ORDER BY k)::real[]::vector FROM generate_series(1, 8) AS k)
    FROM products p;
    CREATE INDEX product_embeddings_hnsw ON product_embeddings USING hnsw (embedding vector_cosine_ops);
    COMMENT ON TABLE product_embeddings IS 'Products as vectors, for similarity search.';
    COMMENT ON COLUMN product_embeddings.product_id IS 'The product.';
    COMMENT ON COLUMN product_embeddings.model IS 'What made the vector.';
    COMMENT ON COLUMN product_embeddings.embedding IS 'Eight numbers; near vectors are similar products.';
  END IF;
END $$;

COMMIT;

ANALYZE;
