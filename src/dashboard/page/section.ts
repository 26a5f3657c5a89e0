/** A section of the page, and the topics that it shows. */
import type { Topic, Topics } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Tables } from "./table.ts";

/** A section of the page: makes its elements, and returns the functions that show its topics. */
export type Section = (elements: Elements, tables: Tables) => Shows;

/** Functions that show each topic. */
export type Shows = { readonly [T in Topic]?: (value: Topics[T]) => void };
