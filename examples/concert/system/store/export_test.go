package store

// Within runs a transaction as the methods of Store do.
var Within = (*Store).within
