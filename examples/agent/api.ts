/** The calls of the page: the node makes a handler of this edge, the page imports only its type. */
import { edge } from "@catga/catga/http";
import { Agent, Decide } from "./agent.ts";

export const api = edge({ agents: [Agent, { ask: { decide: Decide }, cancel: true }] });
