package demo

import "math/rand/v2"

// A club of the invented league. Strengths are factors around 1.
type club struct {
	Name    string
	Code    string
	Shirt   string // CSS colours of the crest the page draws
	Trim    string
	attack  float64 // > 1 scores more
	defence float64 // > 1 concedes more
	squad   []player
}

// A player's number is also his place in the squad, from 1.
type player struct {
	name   string
	number int
	role   role
}

type role uint8

const (
	keeper role = iota
	defender
	midfielder
	forward
)

// Every club is named after water. None exists.
var clubs = []club{
	{Name: "Oxbow Rovers", Code: "OXB", Shirt: "#c8102e", Trim: "#ffffff", attack: 1.24, defence: 0.86},
	{Name: "Estuary City", Code: "EST", Shirt: "#1c6dd0", Trim: "#bfe0ff", attack: 1.30, defence: 0.90},
	{Name: "Millrace United", Code: "MIL", Shirt: "#f2b705", Trim: "#20242c", attack: 1.05, defence: 1.00},
	{Name: "Delta Athletic", Code: "DEL", Shirt: "#0b8457", Trim: "#f4f1de", attack: 0.98, defence: 0.88},
	{Name: "Weir Wanderers", Code: "WEI", Shirt: "#20242c", Trim: "#f2b705", attack: 0.92, defence: 1.08},
	{Name: "Headwater Town", Code: "HEA", Shirt: "#7a3db8", Trim: "#ffffff", attack: 0.86, defence: 1.12},
	{Name: "Rapids Albion", Code: "RAP", Shirt: "#ff6a13", Trim: "#1b1b3a", attack: 1.18, defence: 1.20},
	{Name: "Fenside", Code: "FEN", Shirt: "#6bb5d6", Trim: "#123456", attack: 0.90, defence: 0.95},
	{Name: "Harbour Orient", Code: "HAR", Shirt: "#12355b", Trim: "#ff8fa3", attack: 1.10, defence: 0.97},
	{Name: "Beck Vale", Code: "BEC", Shirt: "#f5f5f5", Trim: "#c8102e", attack: 0.82, defence: 1.05},
	{Name: "Lagoon Star", Code: "LAG", Shirt: "#00a6a6", Trim: "#fff3b0", attack: 1.12, defence: 1.15},
	{Name: "Spring Hill", Code: "SPR", Shirt: "#b5179e", Trim: "#ffe5f4", attack: 0.95, defence: 1.02},
}

var surnames = []string{
	"Abara", "Adeyemi", "Alonzo", "Amari", "Andersen", "Arslan", "Baptiste", "Barros", "Bellini", "Berg",
	"Castell", "Chikwe", "Clarke", "Conti", "Costa", "Dahl", "Danso", "Delacroix", "Demir", "Diallo",
	"Duarte", "Ekström", "Elmi", "Esposito", "Farkas", "Ferreira", "Fofana", "Fontaine", "Fraser", "Galvez",
	"Grant", "Haidara", "Hansen", "Haruna", "Hayes", "Horvat", "Ibarra", "Ito", "Jansen", "Jovic",
	"Kamara", "Kaya", "Keane", "Kimura", "Kovač", "Kruger", "Lindqvist", "Lopes", "Lund", "Marchetti",
	"Mbeki", "Mendes", "Moreau", "Mori", "Musa", "Navarro", "Ndiaye", "Nowak", "Obi", "Okafor",
	"Olsen", "Oyelaran", "Park", "Pereira", "Petrov", "Quist", "Ramos", "Reyes", "Rossi", "Sandoval",
	"Santos", "Sato", "Schäfer", "Silva", "Solberg", "Sousa", "Tanaka", "Tavares", "Thorne", "Toure",
	"Ueda", "Valdez", "Vargas", "Vidal", "Virtanen", "Vogel", "Walsh", "Weber", "Yıldız", "Zamora",
}

// squadSize is eleven and seven on the bench.
const squadSize = 18

// A league hands out fixtures among clubs that are not playing.
type league struct {
	rng   *rand.Rand
	clubs []club
	busy  []bool
}

func newLeague(rng *rand.Rand) *league {
	l := &league{rng: rng, clubs: append([]club(nil), clubs...), busy: make([]bool, len(clubs))}
	for i := range l.clubs {
		l.clubs[i].squad = newSquad(rng)
	}
	return l
}

func newSquad(rng *rand.Rand) []player {
	squad := make([]player, squadSize)
	for i, at := range rng.Perm(len(surnames))[:squadSize] {
		squad[i] = player{name: surnames[at], number: i + 1, role: roleOf(i + 1)}
	}
	return squad
}

// roleOf reads the shirt number the old way: 4-3-3, and a bench in the same
// proportions.
func roleOf(number int) role {
	switch {
	case number == 1 || number == 12:
		return keeper
	case number <= 5 || number == 13 || number == 14:
		return defender
	case number <= 8 || number == 15 || number == 16:
		return midfielder
	default:
		return forward
	}
}

// draw takes two clubs off the list; release puts them back.
func (l *league) draw() (home, away int) {
	return l.take(), l.take()
}

func (l *league) take() int {
	for {
		i := l.rng.IntN(len(l.clubs))
		if !l.busy[i] {
			l.busy[i] = true
			return i
		}
	}
}

func (l *league) release(home, away int) {
	l.busy[home], l.busy[away] = false, false
}
