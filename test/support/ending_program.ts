/** A program of `explore` that ends its thread while it is imported. */
import process from "node:process";

process.exit(0);
