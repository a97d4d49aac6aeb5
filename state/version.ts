/** Release of all parts; shown by `/version`, in logs and in every node's registration. */
export const VERSION = "0.1.0";
