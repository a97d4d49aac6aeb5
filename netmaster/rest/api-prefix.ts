/** Prefix of all collections (contract §1). */
export const API_PREFIX = "/api/v1";
