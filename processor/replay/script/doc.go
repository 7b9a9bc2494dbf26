// Package script runs the scripts by which authors test a playbook: events in,
// the triggers that they expect out.
//
// A script is blocks, one or more commands each, then a line of four dashes,
// then what the block publishes, one record a line, up to an empty line:
//
//	# Two orders make a member.
//	event c1 2024-01-05T10:00 PAID o1 120.00
//	event c1 2024-01-06T09:30 app.opened page=home
//	advance 90d
//	----
//	tier-changes c1 FIRED member 1/0 2024-01-05T10:00 upgrade Lv1→Lv2 | growth_value 120 >= 100
//
// Commands:
//
//	event CUSTOMER TIME TYPE [ORDER [AMOUNT]] [NAME=VALUE …]
//	    TYPE is PLACED, PAID, CANCELLED or REFUNDED, with an order and an amount in
//	    the playbook's currency, or a type of behavior; NAME=VALUE are attributes,
//	    channel=…, currency=…, id=… (of the event) and items=CATEGORY:AMOUNT,…
//	    have their own meaning. A value with spaces stands in double quotes.
//	advance DURATION | TIME
//	    moves time on, firing what is due
//
// Times are of the playbook's time zone: 2024-01-05, 2024-01-05T10:00,
// 2024-01-05T10:00:05 or …:05.250. An event moves time to itself, as far as it is
// not late. A line that begins with # is a remark.
//
// A record is printed as topic, customer, status, rule, episode/revision, time,
// what changed, and behind a bar what was compared. The package runs the same
// core as every task, alone and in memory; it reads no file and no clock.
//
// The package may import playbook, processor/core and schemas.
package script
