/** The interface of a section of the page. */
import type { Topic, Topics } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Tables } from "./table.ts";

/** A section of the page: makes the section's elements, and returns the functions that show its topics. */
export type Section = (elements: Elements, tables: Tables) => Shows;

/** Functions of a section that show topics, by the topic's name. */
export type Shows = { readonly [T in Topic]?: (value: Topics[T]) => void };
