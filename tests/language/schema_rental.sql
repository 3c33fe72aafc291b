-- Films for rent: bridge tables, two keys to one table, soft deletion, facts told by timestamps.
CREATE TYPE certificate AS ENUM ('G', 'PG', 'R');
CREATE TABLE languages (language_id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE movies (
    movie_id serial PRIMARY KEY, title text NOT NULL, release_year integer NOT NULL, runtime_minutes integer,
    daily_rate numeric(6, 2) NOT NULL, certificate certificate, language_id integer NOT NULL REFERENCES languages,
    dubbed_language_id integer REFERENCES languages);
CREATE TABLE performers (performer_id serial PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, birth_date date);
CREATE TABLE movie_performers (
    movie_id integer REFERENCES movies, performer_id integer REFERENCES performers, PRIMARY KEY (movie_id, performer_id));
CREATE TABLE genres (genre_id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE movie_genres (movie_id integer REFERENCES movies, genre_id integer REFERENCES genres, PRIMARY KEY (movie_id, genre_id));
CREATE TABLE branches (branch_id serial PRIMARY KEY, city text NOT NULL, phone text);
CREATE TABLE staff (
    staff_id serial PRIMARY KEY, full_name text NOT NULL, branch_id integer NOT NULL REFERENCES branches,
    is_supervisor boolean NOT NULL, hired_on date NOT NULL, salary numeric(10, 2) NOT NULL);
ALTER TABLE branches ADD COLUMN manager_id integer REFERENCES staff;
CREATE TABLE copies (
    copy_id serial PRIMARY KEY, movie_id integer NOT NULL REFERENCES movies, branch_id integer NOT NULL REFERENCES branches,
    condition text NOT NULL);
CREATE TABLE members (
    member_id serial PRIMARY KEY, full_name text NOT NULL, email text, joined_on date NOT NULL, deleted_at timestamptz);
CREATE TABLE rentals (
    rental_id serial PRIMARY KEY, copy_id integer NOT NULL REFERENCES copies, member_id integer NOT NULL REFERENCES members,
    rented_at timestamptz NOT NULL, due_on date NOT NULL, returned_at timestamptz);
CREATE TABLE payments (
    payment_id serial PRIMARY KEY, rental_id integer NOT NULL REFERENCES rentals, amount numeric(8, 2) NOT NULL, paid_at timestamptz NOT NULL);
COMMENT ON TABLE performers IS 'actors';
COMMENT ON TABLE movies IS 'films';
COMMENT ON COLUMN movies.daily_rate IS 'price per day';
INSERT INTO languages (name) VALUES ('English'), ('French'), ('Korean');
INSERT INTO movies (title, release_year, runtime_minutes, daily_rate, certificate, language_id, dubbed_language_id) VALUES
    ('Harbour Lights', 1999, 95, 1.50, 'PG', 1, NULL), ('The Long Field', 2014, 181, 2.00, 'R', 1, 2),
    ('Petit Matin', 2021, 88, 2.50, 'G', 2, 1), ('Night Train', 2021, 121, 3.00, 'R', 3, 1), ('Untold', 2023, NULL, 1.00, NULL, 1, NULL);
INSERT INTO performers (first_name, last_name, birth_date) VALUES
    ('Ines', 'Moreau', '1980-04-02'), ('Jack', 'Holm', '1955-10-10'), ('Min', 'Seo', '1992-01-30'), ('Olga', 'Holm', NULL);
INSERT INTO movie_performers VALUES (1, 2), (2, 1), (2, 2), (3, 1), (4, 3);
INSERT INTO genres (name) VALUES ('Drama'), ('Thriller'), ('Comedy'), ('Western');
INSERT INTO movie_genres VALUES (1, 1), (2, 1), (2, 2), (3, 3), (4, 2), (3, 1);
INSERT INTO branches (city, phone) VALUES ('Lyon', '0400'), ('Porto', NULL), ('Oslo', '4711');
INSERT INTO staff (full_name, branch_id, is_supervisor, hired_on, salary) VALUES
    ('Paul Roux', 1, true, '2019-05-01', 52000), ('Rita Sousa', 2, true, '2021-09-01', 48000), ('Sven Dahl', 1, false, '2024-02-01', 35000);
UPDATE branches SET manager_id = branch_id WHERE branch_id < 3;
INSERT INTO copies (movie_id, branch_id, condition) VALUES (1, 1, 'good'), (2, 1, 'worn'), (2, 2, 'good'), (3, 2, 'good'), (4, 2, 'broken');
INSERT INTO members (full_name, email, joined_on, deleted_at) VALUES
    ('Alba Cruz', 'alba@post.example', '2022-01-10', NULL), ('Boris Lund', NULL, '2023-07-01', '2024-12-01 09:00Z'),
    ('Carla Dias', 'carla@post.example', '2025-01-05', NULL), ('Dan Eker', 'dan@post.example', '2025-03-13', NULL);
INSERT INTO rentals (copy_id, member_id, rented_at, due_on, returned_at) VALUES
    (1, 1, '2024-05-01 18:00Z', '2024-05-03', '2024-05-02 18:00Z'), (2, 1, '2025-03-01 18:00Z', '2025-03-04', NULL),
    (3, 2, '2024-06-01 18:00Z', '2024-06-04', '2024-06-09 18:00Z'), (4, 3, '2025-03-11 18:00Z', '2025-03-20', NULL),
    (2, 3, '2025-02-10 18:00Z', '2025-02-12', '2025-02-12 10:00Z');
INSERT INTO payments (rental_id, amount, paid_at) VALUES (1, 1.50, '2024-05-02 18:00Z'), (3, 12.00, '2024-06-09 18:05Z'), (5, 4.00, '2025-02-12 10:05Z');
