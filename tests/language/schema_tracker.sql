-- A project tracker, the second held-out schema: a self reference, two keys to one table, camelCase.
CREATE TABLE teams (id serial PRIMARY KEY, name text NOT NULL, timezone text NOT NULL);
CREATE TABLE people (
    id serial PRIMARY KEY, "displayName" text NOT NULL, email text, team_id integer REFERENCES teams, is_admin boolean NOT NULL,
    "joinedAt" timestamptz NOT NULL, archived_at timestamptz);
CREATE TABLE projects (
    id serial PRIMARY KEY, title text NOT NULL, status text NOT NULL, owner_id integer NOT NULL REFERENCES people, start_date date NOT NULL,
    end_date date, budget numeric(12, 2));
CREATE TABLE issues (
    id serial PRIMARY KEY, project_id integer NOT NULL REFERENCES projects, reporter_id integer NOT NULL REFERENCES people,
    assignee_id integer REFERENCES people, parent_id integer REFERENCES issues, summary text NOT NULL, priority text NOT NULL CHECK (priority IN ('low', 'medium', 'high')),
    "storyPoints" integer, created_at timestamptz NOT NULL, closed_at timestamptz);
CREATE TABLE labels (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE issue_labels (issue_id integer REFERENCES issues, label_id integer REFERENCES labels, PRIMARY KEY (issue_id, label_id));
CREATE TABLE comments (id serial PRIMARY KEY, issue_id integer NOT NULL REFERENCES issues, author_id integer NOT NULL REFERENCES people, body text NOT NULL, created_at timestamptz NOT NULL);
COMMENT ON TABLE people IS 'members';
INSERT INTO teams (name, timezone) VALUES ('Platform', 'Europe/Berlin'), ('Design', 'UTC'), ('Support', 'UTC');
INSERT INTO people ("displayName", email, team_id, is_admin, "joinedAt", archived_at) VALUES
    ('Ann', 'ann@x.example', 1, true, '2023-01-01Z', NULL), ('Bo', NULL, 1, false, '2024-05-05Z', NULL), ('Cy', 'cy@x.example', 2, false, '2025-03-11Z', '2025-03-12Z'), ('Di', 'di@x.example', NULL, false, '2025-02-01Z', NULL);
INSERT INTO projects (title, status, owner_id, start_date, end_date, budget) VALUES
    ('Apollo', 'running', 1, '2024-01-01', NULL, 50000), ('Borealis', 'finished', 2, '2023-02-01', '2024-02-01', 20000), ('Comet', 'planned', 1, '2025-06-01', NULL, NULL);
INSERT INTO issues (project_id, reporter_id, assignee_id, parent_id, summary, priority, "storyPoints", created_at, closed_at) VALUES
    (1, 1, 2, NULL, 'Login fails', 'high', 5, '2025-03-04Z', NULL), (1, 2, 2, 1, 'Fix redirect', 'medium', 2, '2025-03-14Z', '2025-03-14 12:00Z'),
    (2, 1, NULL, NULL, 'Write docs', 'low', NULL, '2023-05-01Z', '2023-06-01Z'), (1, 4, 1, NULL, 'Dark mode', 'low', 8, '2024-12-24Z', NULL);
INSERT INTO labels (name) VALUES ('bug'), ('feature'), ('wontfix');
INSERT INTO issue_labels VALUES (1, 1), (2, 1), (4, 2);
INSERT INTO comments (issue_id, author_id, body, created_at) VALUES (1, 2, 'seen', '2025-03-05Z'), (1, 1, 'ok', '2025-03-06Z'), (3, 1, 'done', '2023-06-01Z');
