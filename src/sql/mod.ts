/**
 * An entrypoint: your database and your messages, both or neither. `sqlStore` over PostgreSQL or SQLite, by your own
 * driver or ORM.
 *
 * @module
 */
export {
  type OutboxBacklog,
  type OutboxLane,
  type RefusedRow,
  SqlStore,
  sqlStore,
  type SqlStoreOptions,
  type StoreHandler,
} from "./store.ts";
export type { RecordedKind } from "./relay_plan.ts";
export type { Effect } from "./effects.ts";
export { type Out, type RecordArgs, type RecordOptions, type RecordStartOptions } from "./out.ts";
export type { SqlDatabase, SqlRow } from "./database.ts";
export {
  type BeginOptions,
  type BunSql,
  bunSql,
  type BunSqlite,
  bunSqlite,
  nodePostgres,
  type NodeSqlite,
  nodeSqlite,
  type PgClient,
  pglite,
  type PgliteDatabase,
  type PgPool,
  type PostgresJs,
  postgresJs,
} from "./adapters.ts";
export type { AttachedStore, EndedTransaction } from "../contract/nodes/attached_store.ts";
