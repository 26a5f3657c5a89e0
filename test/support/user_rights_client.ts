/** A program that uses all of `user_rights_program.ts`, and handles nothing. */
export { Add, Ask, Items, Kept, Order, Pay, Queued, Told } from "./user_rights_program.ts";
