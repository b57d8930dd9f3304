// Package config holds the settings of one node and where they come from: a flag, else a MESHD_ variable, else the
// YAML file, else the default. The set of flags is the only list of settings; variables and YAML keys are derived from
// it, so a new flag is a new key and a new variable by itself. An unknown name anywhere is an error, because a
// misspelled setting that is ignored is found out only in production.
//
// It opens no socket and touches no file but the ones named by --config and --http-token-file.
package config
