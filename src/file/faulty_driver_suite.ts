/** A driver of files that fails on purpose, for tests. */
import type { Database, FileDriver, Statement } from "./driver.ts";
import { systemDriver } from "./driver.ts";

/** Faults of a {@link faultyDriver}. */
export interface FileFaults {
  /** Number of calls that change the file, so far. */
  calls: number;
  /** The call that fails first, counted from the present one; `Infinity`: none. All calls from then on fail. */
  failsAt: number;
  /** The error with which these calls fail. */
  error: "full" | "I/O error";
  /** True if syncs of the log fail. */
  syncFails: boolean;
  /** Called before each call that changes the file. */
  onCall: () => void;
}

/** Makes a driver that fails as a full or broken disk does: SQLite rolls the transaction back by itself. */
export function faultyDriver(): { readonly driver: FileDriver; readonly faults: FileFaults } {
  const faults: FileFaults = { calls: 0, failsAt: Infinity, error: "full", syncFails: false, onCall() {} };
  /** Fails if it is the time to, after SQLite has rolled back. */
  function change(database: Database): void {
    faults.calls++;
    faults.onCall();
    if (--faults.failsAt >= 0) return;
    if (database.isTransaction) database.exec("ROLLBACK");
    if (faults.error === "full") throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
    throw Object.assign(new Error("disk I/O error"), { errcode: 10 });
  }
  const driver: FileDriver = {
    ...systemDriver,
    open(path, options) {
      const database = systemDriver.open(path, options);
      if (path.endsWith("-lock") || options?.readOnly) return database;
      return {
        get isTransaction() {
          return database.isTransaction;
        },
        exec(sql) {
          if (/^(?:INSERT|UPDATE|DELETE|CREATE|DROP)/.test(sql.trim())) change(database);
          database.exec(sql);
        },
        prepare(sql): Statement {
          const statement = database.prepare(sql);
          const changes = /^(?:INSERT|UPDATE|DELETE|COMMIT)/.test(sql.trim());
          if (!changes) return statement;
          return {
            run: (...values) => (change(database), statement.run(...values)),
            get: (...values) => (change(database), statement.get(...values)),
            all: (...values) => (change(database), statement.all(...values)),
          };
        },
        close: () => database.close(),
      };
    },
    openLog(path) {
      const log = systemDriver.openLog(path);
      const failed = () => new Error("EIO: i/o error, fdatasync");
      return {
        sync: () => faults.syncFails ? Promise.reject(failed()) : log.sync(),
        syncNow() {
          if (faults.syncFails) throw failed();
          log.syncNow();
        },
        close: () => log.close(),
      };
    },
  };
  return { driver, faults };
}
