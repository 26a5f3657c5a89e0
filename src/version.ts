/** The version of this module; a test keeps it and the manifests in agreement. */
export const VERSION = "0.1.0";

/** The version of the wire protocol that is spoken here. */
export const PROTOCOL = 1;
