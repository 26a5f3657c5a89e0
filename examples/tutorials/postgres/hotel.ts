import process from "node:process";
import { Pool, type PoolClient } from "pg";
import { event } from "@catga/catga";
import { nodePostgres, sqlStore } from "@catga/catga/sql";

export interface Booking {
  readonly room: string;
  readonly guest: string;
  readonly nights: number;
}
export const Booked = event<Booking>("Booked", { durable: true, key: ({ guest }) => guest });

const connectionString = process.env.DATABASE_URL ?? "postgres://tea:tea@localhost:5432/hotel";
export const pool = new Pool({ connectionString });
pool.on("error", (error) => console.error(`an idle connection was lost: ${error.message}`));

export const store = sqlStore(nodePostgres<PoolClient>(pool));
