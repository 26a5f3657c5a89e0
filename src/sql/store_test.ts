import { openPglite, openSqlite } from "../../test/support/sql_databases.ts";
import { findPglite } from "../../test/support/databases.ts";
import { testStore } from "./store_suite.ts";

testStore("SQLite", () => openSqlite());

const found = await findPglite();
testStore("PGlite", openPglite, "missing" in found ? found.missing : undefined);
