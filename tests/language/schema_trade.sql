-- A wholesaler, as sample databases draw it: stock beside orders, two prices, names in parts, times of change, currencies.
CREATE TABLE customers (
    customer_id text PRIMARY KEY, company_name text NOT NULL, contact_name text, city text, country text, last_seen timestamptz);
CREATE TABLE employees (
    employee_id serial PRIMARY KEY, last_name text NOT NULL, first_name text NOT NULL, title text, hire_date date NOT NULL,
    password_hash text, photo bytea, reports_to integer REFERENCES employees, last_update timestamptz NOT NULL DEFAULT now());
CREATE TABLE categories (category_id serial PRIMARY KEY, category_name text NOT NULL, picture bytea, last_update timestamptz NOT NULL);
CREATE TABLE products (
    product_id serial PRIMARY KEY, product_name text NOT NULL, category_id integer REFERENCES categories,
    list_price numeric(10, 2) NOT NULL, purchase_price numeric(10, 2), units_in_stock integer, units_on_order integer NOT NULL,
    discontinued boolean NOT NULL, change_date date NOT NULL);
CREATE TABLE orders (
    order_id serial PRIMARY KEY, customer_id text REFERENCES customers, employee_id integer REFERENCES employees,
    order_date date NOT NULL, shipped_date date, freight numeric(10, 2) NOT NULL, ship_country text);
CREATE TABLE order_details (
    order_id integer REFERENCES orders, product_id integer REFERENCES products, quantity integer NOT NULL,
    unit_price numeric(10, 2) NOT NULL, PRIMARY KEY (order_id, product_id));
CREATE TABLE invoices (
    invoice_id serial PRIMARY KEY, customer_id text NOT NULL REFERENCES customers, amount numeric(10, 2) NOT NULL,
    currency text NOT NULL CHECK (currency IN ('EUR', 'USD', 'GBP')), issued_on date NOT NULL, paid boolean NOT NULL);
CREATE TABLE documents (
    document_id serial PRIMARY KEY, subject text NOT NULL, is_public boolean NOT NULL, written_on date NOT NULL);
CREATE TABLE lots (lot_id serial PRIMARY KEY, code text NOT NULL, weight numeric NOT NULL, weight_unit text NOT NULL CHECK (weight_unit IN ('kg', 'lb')));
CREATE TABLE tickets (ticket_id serial PRIMARY KEY, opened_on date NOT NULL);
CREATE TABLE rooms (room_id serial PRIMARY KEY, nightly_rate numeric NOT NULL, cleaning_fee numeric NOT NULL, tax_rate numeric NOT NULL);
CREATE TABLE items (item_id serial PRIMARY KEY, buy_price numeric NOT NULL, msrp numeric NOT NULL);
CREATE SCHEMA archive;
CREATE TABLE archive.papers (paper_id serial PRIMARY KEY, subject text NOT NULL, state text NOT NULL CHECK (state IN ('archive', 'open')));
CREATE TABLE accounts (account_id serial PRIMARY KEY, login text NOT NULL, api_key text, password text, avatar bytea, region text);
INSERT INTO customers VALUES
    ('ALFKI', 'Alfreds', 'Maria Anders', 'Berlin', 'Germany', '2025-03-01Z'), ('BLAUS', 'Blauer See', 'Hanna Moos', 'Mannheim', 'Germany', NULL),
    ('FRANK', 'Frankenversand', 'Peter Franken', 'Munich', 'Germany', '2024-03-01Z'), ('ISLAT', 'Island Trading', 'Helen Bennett', 'Cowes', 'UK', NULL),
    ('NORTS', 'North/South', 'Simon Crowther', 'London', 'UK', '2025-02-01Z');
INSERT INTO employees (last_name, first_name, title, hire_date, reports_to) VALUES
    ('Davolio', 'Nancy', 'Manager', '2020-05-01', NULL), ('Fuller', 'Andrew', 'Clerk', '2021-08-14', 1), ('Nancy', 'Paul', 'Clerk', '2023-04-01', 1),
    ('Buchanan', 'Steven', 'Clerk', '2024-10-17', 1);
INSERT INTO categories (category_name, last_update) VALUES ('Beverages', '2025-01-01Z'), ('Seafood', '2024-01-01Z');
INSERT INTO products (product_name, category_id, list_price, purchase_price, units_in_stock, units_on_order, discontinued, change_date) VALUES
    ('Chai', 1, 18, 9, 39, 0, false, '2024-01-01'), ('Chang', 1, 19, 12, 0, 40, false, '2025-03-01'), ('Ikura', 2, 31, 22, NULL, 0, false, '2023-01-01'),
    ('Konbu', 2, 6, 5, 24, 6, true, '2025-01-15'), ('Apple Juice', 1, 7, NULL, 3, 0, false, '2025-02-02');
INSERT INTO orders (customer_id, employee_id, order_date, shipped_date, freight, ship_country) VALUES
    ('ALFKI', 1, '2023-03-05', '2023-03-09', 30, 'Germany'), ('ALFKI', 2, '2023-07-05', NULL, 12, 'Germany'), ('BLAUS', 1, '2024-03-11', '2024-03-12', 5, 'Germany'),
    ('BLAUS', 3, '2023-05-05', '2023-05-06', 60, 'France'), ('FRANK', 1, '2024-06-05', NULL, 7, 'Germany'), ('ISLAT', 2, '2023-11-11', '2023-11-15', 9, 'UK'),
    ('FRANK', 1, '2025-03-02', NULL, 11, 'Germany');
INSERT INTO order_details VALUES (1, 1, 5, 18), (1, 2, 3, 19), (2, 1, 1, 18), (3, 3, 10, 31), (4, 4, 2, 6), (5, 5, 8, 7), (6, 1, 2, 18), (6, 2, 1, 19), (6, 3, 1, 31), (7, 2, 2, 19);
INSERT INTO invoices (customer_id, amount, currency, issued_on, paid) VALUES
    ('ALFKI', 1200, 'EUR', '2024-01-01', true), ('BLAUS', 1500, 'USD', '2024-02-01', false), ('FRANK', 90, 'EUR', '2025-01-01', false), ('FRANK', 2000, 'EUR', '2025-02-01', true);
INSERT INTO documents (subject, is_public, written_on) VALUES ('Prices', true, '2024-01-01'), ('Salaries', false, '2024-02-01');
INSERT INTO lots (code, weight, weight_unit) VALUES ('A', 10, 'kg'), ('B', 10, 'lb');
INSERT INTO archive.papers (subject, state) VALUES ('Old', 'archive'), ('Older', 'open');
INSERT INTO accounts (login, api_key, password, region) VALUES ('ann', 'k1', 'p1', 'north'), ('bob', 'k2', 'p2', 'south');
INSERT INTO tickets (opened_on) VALUES ('2025-01-01'), ('2025-01-01'), ('2025-01-01');
