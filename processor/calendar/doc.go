// Package calendar (日历) says at which instants the moments of a customer's life
// and the member days of a business come.
//
// # What it promises
//
//   - Next is the first instant strictly after the one asked about, at the local
//     time that the moment names, by the zone's own summer time. What it says hangs
//     on its arguments and on the zone data of the binary alone.
//   - A date is good for moments after it became known and before it was changed or
//     removed. So a changed date rearms, and a removed item cancels.
//   - A yearly day that a year does not have (29 February; the 30th of a lunar
//     month of 29 days) comes on the last day of that month, on the day after, or
//     not in that year, as the moment says.
//   - Whoever was born in a repeated month (闰月) is greeted in the ordinary month of
//     that number, or where the moment says so in the repeated one in years that
//     have it.
//
// The lunar calendar is a table of the years 1900 to 2100 in whole numbers, made
// from github.com/6tail/lunar-go, which a test holds it against. The library is
// maintained and right, but computes with sines, which differ between processors,
// and another version of it could say otherwise under a running engine; so it is
// asked when the table is made, and not by the engine. Beyond those years lunar
// moments do not come.
//
// The package is pure; it may import playbook and schemas.
package calendar
