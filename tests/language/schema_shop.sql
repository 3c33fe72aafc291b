-- A small shop: plain English names, one boolean, one enum, one CHECK list, soft facts in timestamps.
CREATE TYPE order_status AS ENUM ('pending', 'paid', 'shipped', 'cancelled');
CREATE TABLE users (
    id serial PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE,
    active boolean NOT NULL DEFAULT true, role text NOT NULL CHECK (role IN ('customer', 'admin', 'support')),
    city text, age integer, created_at timestamptz NOT NULL, updated_at timestamptz);
CREATE TABLE categories (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE products (
    id serial PRIMARY KEY, name text NOT NULL, sku text NOT NULL UNIQUE, price numeric(10, 2) NOT NULL,
    stock integer NOT NULL, category_id integer REFERENCES categories, discontinued boolean NOT NULL DEFAULT false,
    weight_kg numeric, description text, created_at date NOT NULL);
CREATE TABLE orders (
    id serial PRIMARY KEY, user_id integer REFERENCES users, status order_status NOT NULL,
    total numeric(10, 2) NOT NULL, ordered_at timestamptz NOT NULL, delivered_at timestamptz);
CREATE TABLE order_items (
    id serial PRIMARY KEY, order_id integer NOT NULL REFERENCES orders,
    product_id integer NOT NULL REFERENCES products, quantity integer NOT NULL, unit_price numeric(10, 2) NOT NULL);
CREATE TABLE reviews (
    id serial PRIMARY KEY, product_id integer NOT NULL REFERENCES products, user_id integer NOT NULL REFERENCES users,
    rating integer NOT NULL, body text, created_at timestamptz NOT NULL);
CREATE TABLE addresses (id serial PRIMARY KEY, street text NOT NULL, town text NOT NULL);
CREATE TABLE shipments (
    id serial PRIMARY KEY, order_id integer NOT NULL REFERENCES orders, origin_address_id integer REFERENCES addresses,
    target_address_id integer REFERENCES addresses, carrier text, sent_on date, arrived_on date);
CREATE VIEW active_carts AS SELECT id, user_id, total FROM orders WHERE status = 'pending';
COMMENT ON TABLE orders IS 'purchases';
COMMENT ON COLUMN users.email IS 'mail address';
COMMENT ON COLUMN products.stock IS 'units on hand';
INSERT INTO users (name, email, active, role, city, age, created_at) VALUES
    ('Ada Byron', 'ada@example.org', true, 'admin', 'London', 36, '2023-02-01 10:00Z'),
    ('Bert Baker', 'bert@example.org', true, 'customer', 'Berlin', 51, '2024-01-15 09:00Z'),
    ('Cleo Nile', 'cleo@example.org', false, 'customer', 'Cairo', 29, '2024-06-30 12:00Z'),
    ('Dora Field', 'dora@example.net', true, 'support', 'Berlin', 44, '2025-03-05 08:00Z'),
    ('Emil Stone', 'emil@example.net', false, 'customer', NULL, NULL, '2025-03-14 23:00Z'),
    ('Fay O''Hara', 'fay@example.com', true, 'customer', 'New York', 18, '2025-03-12 10:00Z');
INSERT INTO categories (name) VALUES ('Electronics'), ('Books'), ('Garden'), ('Toys');
INSERT INTO products (name, sku, price, stock, category_id, discontinued, weight_kg, description, created_at) VALUES
    ('Blue Lamp', 'L-1', 25.00, 10, 1, false, 1.2, 'a lamp', '2024-01-10'),
    ('Red Lamp', 'L-2', 27.50, 0, 1, false, 1.3, NULL, '2024-02-10'),
    ('Atlas', 'B-1', 60.00, 3, 2, false, 2.5, 'maps of the world', '2023-05-01'),
    ('Novel', 'B-2', 12.00, 120, 2, true, 0.4, '', '2022-01-01'),
    ('Spade', 'G-1', 19.90, 7, 3, false, 2.0, 'for digging', '2025-03-10'),
    ('Mystery Box', 'X-1', 5.00, 50, NULL, false, NULL, '100% surprise', '2025-03-14');
INSERT INTO orders (user_id, status, total, ordered_at, delivered_at) VALUES
    (1, 'paid', 85.00, '2024-01-20 10:00Z', '2024-01-25 10:00Z'),
    (1, 'shipped', 27.50, '2024-11-05 10:00Z', NULL),
    (2, 'pending', 12.00, '2025-03-14 08:00Z', NULL),
    (2, 'cancelled', 60.00, '2025-03-04 08:00Z', NULL),
    (2, 'paid', 19.90, '2025-02-20 08:00Z', '2025-02-25 12:00Z'),
    (4, 'shipped', 240.00, '2025-03-06 08:00Z', NULL),
    (NULL, 'paid', 5.00, '2024-12-31 23:30Z', NULL);
INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES
    (1, 1, 1, 25.00), (1, 3, 1, 60.00), (2, 2, 1, 27.50), (3, 4, 1, 12.00), (4, 3, 1, 60.00),
    (5, 5, 1, 19.90), (6, 3, 4, 60.00), (7, 6, 1, 5.00);
INSERT INTO reviews (product_id, user_id, rating, body, created_at) VALUES
    (1, 1, 5, 'bright', '2024-02-01 10:00Z'), (3, 2, 4, NULL, '2025-03-08 10:00Z'),
    (3, 4, 2, 'too heavy', '2025-03-09 10:00Z'), (4, 3, 1, 'dull', '2024-08-01 10:00Z');
INSERT INTO addresses (street, town) VALUES ('High Road 1', 'London'), ('Hauptstr. 2', 'Berlin');
INSERT INTO shipments (order_id, origin_address_id, target_address_id, carrier, sent_on, arrived_on) VALUES
    (2, 1, 2, 'Post', '2024-11-06', '2024-11-09'), (6, 2, 1, 'Courier', '2025-03-07', NULL);
