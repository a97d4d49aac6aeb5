/** Names the store revision that a reply shows, with its epoch; a watch may begin there. */
export const REVISION_HEADER = "contiv-revision";
/** On a page of a list that is not the last one: what `?continue=` must say to get the next. */
export const CONTINUE_HEADER = "contiv-continue";
