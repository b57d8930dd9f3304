// Command meshd runs a node of a mesh, asks nodes, and makes certificates. `meshd help` lists the commands.
//
// This package reads settings, joins the parts and owns no logic of its own: a node is the list of actors in run.go,
// everything else is one request or one file. Exit codes: 0 done, or stopped as asked; 1 failed; 2 the command line,
// a variable or the configuration file is wrong; 3 an answer was given but covers less than was demanded.
package main
