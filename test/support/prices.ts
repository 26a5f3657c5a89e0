/** A module without handlers: its author forgot to export one. */
import { query } from "../../src/contract/declaration/definition.ts";

export const Price = query<{ sku: string }, number>("Price");
export const CURRENCY = "EUR";
