/**
 * The statement that writes what a transaction has collected: rows of a lane get numbers in the order of their commits.
 */
import type { CollectedRow } from "./out.ts";
import type { TableNames } from "./tables.ts";

/** A statement with its parameters. */
interface SqlStatement {
  readonly text: string;
  readonly params: readonly (string | null)[];
}

/**
 * Returns the statement that writes rows into the outbox, to be the last one of its transaction. In PostgreSQL numbers
 * are drawn before commits become visible, so:
 *
 * - the lock of a row's lane is taken before its number is drawn, and held until the end of the transaction. It is the
 *   last statement, and takes its locks in one order: so it deadlocks with no other;
 * - the transaction has an id before the number is drawn, on which `RelayTable.settle` relies. The planner would drop
 *   an id that nothing uses, and the condition `IS NOT NULL` uses it.
 *
 * In PostgreSQL it returns the transaction's id (`xid`), for which it needs no right to read the table.
 */
export function insertStatement(
  dialect: "postgres" | "sqlite",
  { names: { outbox }, schema, ordered, rows }: {
    readonly names: TableNames;
    readonly schema: string;
    readonly ordered: boolean;
    readonly rows: readonly CollectedRow[];
  },
): SqlStatement {
  const into = `INSERT INTO ${outbox} (${COLUMNS.join(", ")})`;
  const text = JSON.stringify(ordered ? rows : rows.map((row) => ({ ...row, lane: null })));
  const values = COLUMNS.map((column) => `value->>'${column}' AS ${column}`).join(", ");
  if (dialect === "sqlite") {
    return { text: `${into} SELECT ${values} FROM json_each(?1) AS m ORDER BY m.key`, params: [text] };
  }
  return {
    text: `${into} SELECT ${COLUMNS.join(", ")} FROM (SELECT s.*, pg_current_xact_id() AS xid, ` +
      `CASE WHEN lock IS NOT NULL THEN pg_advisory_xact_lock(lock)::text END AS locked FROM (` +
      `SELECT ${values}, hashtextextended($2::text || (value->>'lane'), 0) AS lock ` +
      `FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS m (value, i) ORDER BY lock, i OFFSET 0) s ` +
      `OFFSET 0) r WHERE r.xid IS NOT NULL RETURNING pg_current_xact_id()::text AS xid`,
    params: [text, `${schema}\n`],
  };
}

const COLUMNS = ["kind", "contract", "key", "id", "body", "head"];
