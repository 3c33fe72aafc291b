-- A clinic, written last: the grammar was not changed before the first try at its questions.
CREATE TYPE blood_group AS ENUM ('A', 'B', 'AB', '0');
CREATE TABLE departments (id bigserial PRIMARY KEY, name varchar(80) NOT NULL, floor smallint NOT NULL, budget money);
CREATE TABLE doctors (
    id bigserial PRIMARY KEY, first_name varchar(40) NOT NULL, last_name varchar(40) NOT NULL,
    department_id bigint NOT NULL REFERENCES departments, salary numeric(10, 2) NOT NULL, hire_date date NOT NULL,
    is_on_call boolean NOT NULL DEFAULT false);
CREATE TABLE patients (
    id bigserial PRIMARY KEY, name varchar(80) NOT NULL, birth_date date NOT NULL, blood_group blood_group,
    country varchar(40) NOT NULL, insured boolean NOT NULL, registered_at timestamptz NOT NULL, height_cm integer, weight_kg numeric(5, 1));
CREATE TABLE specialties (id serial PRIMARY KEY, title varchar(60) NOT NULL);
CREATE TABLE doctor_specialties (
    doctor_id bigint REFERENCES doctors, specialty_id integer REFERENCES specialties, PRIMARY KEY (doctor_id, specialty_id));
CREATE TABLE appointments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), patient_id bigint NOT NULL REFERENCES patients, doctor_id bigint NOT NULL REFERENCES doctors,
    scheduled_for timestamptz NOT NULL, state varchar(20) NOT NULL CHECK (state IN ('booked', 'done', 'no_show')), fee double precision);
CREATE TABLE medicines (code varchar(10) PRIMARY KEY, brand varchar(60) NOT NULL, unit_price numeric(8, 2) NOT NULL, prescription_only boolean NOT NULL);
CREATE TABLE prescriptions (
    id bigserial PRIMARY KEY, appointment_id uuid NOT NULL REFERENCES appointments, medicine_code varchar(10) NOT NULL REFERENCES medicines,
    quantity integer NOT NULL, issued_on date NOT NULL);
CREATE TABLE invoices (
    id bigserial PRIMARY KEY, patient_id bigint NOT NULL REFERENCES patients, total_amount numeric(10, 2) NOT NULL, paid boolean NOT NULL, due_date date, issued_on date NOT NULL);
COMMENT ON TABLE appointments IS 'visits';
COMMENT ON COLUMN patients.insured IS 'has health insurance';
INSERT INTO departments (name, floor, budget) VALUES ('Cardiology', 2, 1000000), ('Radiology', 0, 500000), ('Surgery', 3, 2000000);
INSERT INTO doctors (first_name, last_name, department_id, salary, hire_date, is_on_call) VALUES
    ('Greta', 'Holt', 1, 120000, '2015-06-01', true), ('Ivan', 'Petrov', 1, 95000, '2021-01-15', false), ('Lena', 'Brandt', 3, 150000, '2024-09-01', true);
INSERT INTO patients (name, birth_date, blood_group, country, insured, registered_at, height_cm, weight_kg) VALUES
    ('Nora Quist', '1990-05-05', 'A', 'Norway', true, '2024-02-02 09:00Z', 172, 65.5), ('Omar Said', '1955-11-30', '0', 'Egypt', false, '2025-03-12 09:00Z', 180, 90),
    ('Pia Lind', '2012-07-07', NULL, 'Norway', true, '2023-12-24 09:00Z', 140, NULL), ('Quentin Roy', '1978-01-20', 'AB', 'France', true, '2025-03-01 09:00Z', NULL, 77);
INSERT INTO specialties (title) VALUES ('Pediatrics'), ('Heart surgery'), ('Imaging');
INSERT INTO doctor_specialties VALUES (1, 2), (1, 3), (3, 2);
INSERT INTO appointments (id, patient_id, doctor_id, scheduled_for, state, fee) VALUES
    ('00000000-0000-0000-0000-000000000001', 1, 1, '2025-03-14 09:00Z', 'done', 80), ('00000000-0000-0000-0000-000000000002', 1, 2, '2025-03-20 09:00Z', 'booked', NULL),
    ('00000000-0000-0000-0000-000000000003', 2, 1, '2025-03-05 10:00Z', 'no_show', 0), ('00000000-0000-0000-0000-000000000004', 3, 3, '2024-11-11 10:00Z', 'done', 120);
INSERT INTO medicines VALUES ('ASP', 'Aspirin', 4.50, false), ('MOR', 'Morphine', 60.00, true), ('IBU', 'Ibuprofen', 6.00, false);
INSERT INTO prescriptions (appointment_id, medicine_code, quantity, issued_on) VALUES
    ('00000000-0000-0000-0000-000000000001', 'ASP', 2, '2025-03-14'), ('00000000-0000-0000-0000-000000000004', 'MOR', 1, '2024-11-11');
INSERT INTO invoices (patient_id, total_amount, paid, due_date, issued_on) VALUES (1, 80, true, '2025-03-31', '2025-03-14'), (3, 120, false, '2024-12-11', '2024-11-11'), (3, 30, false, NULL, '2025-01-02');
