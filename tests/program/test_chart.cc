// Charts: what is drawn is where it belongs, whatever the words; what cannot be drawn is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "attention/reproduce/program/axis.h"
#include "attention/reproduce/program/chart.h"
#include "datasets/text/utf8.h"
#include "tests/messages.h"

namespace tapir {

extern const char* const report_template;   // report.html

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

Series line(const std::string& label, std::vector<double> x, std::vector<double> y) {
  return {.label = label, .x = std::move(x), .y = std::move(y), .low = {}, .high = {}, .steps = false};
}

Chart chart_of(std::vector<Series> series) {
  return {.title = "title", .x_title = "step", .y_title = "loss", .log_x = false, .log_y = false, .series = std::move(series)};
}

// Contents of all elements of this kind.
std::vector<std::string> contents_of(const std::string& svg, const std::string& element) {
  std::vector<std::string> all;
  for (size_t at = 0; (at = svg.find("<" + element, at)) != svg.npos;) {
    const size_t begin = svg.find('>', at) + 1;
    at = svg.find("</" + element + ">", begin);
    all.push_back(svg.substr(begin, at - begin));
  }
  return all;
}

std::vector<std::string> paths(const std::string& svg, const std::string& kind) {
  std::vector<std::string> all;
  const std::string start = "<path class=\"" + kind + "\" d=\"";
  for (size_t at = 0; (at = svg.find(start, at)) != svg.npos;) {
    at += start.size();
    all.push_back(svg.substr(at, svg.find('"', at) - at));
  }
  return all;
}

// Whether elements nest, attributes are quoted, every & begins a known entity, and all bytes are characters of XML.
bool well_formed(const std::string& svg) {
  std::vector<std::string> open;
  for (size_t at = 0; at < svg.size();) {
    if (svg[at] == '&') {
      const std::string entity = svg.substr(at, svg.find(';', at) + 1 - at);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;") return false;
    }
    if (svg[at] != '<') {
      if (svg[at] == '>' || (static_cast<unsigned char>(svg[at]) < ' ' && svg[at] != '\n')) return false;
      ++at;
      continue;
    }
    const size_t end = svg.find('>', at);
    if (end == svg.npos) return false;
    std::string tag = svg.substr(at + 1, end - at - 1);
    at = end + 1;
    if (std::count(tag.begin(), tag.end(), '"') % 2 || tag.find('<') != tag.npos) return false;
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(tag.substr(0, tag.find_first_of(" \n")));
    }
    if (open.empty() && svg.find_first_not_of('\n', at) != svg.npos) return false;   // one root
  }
  return open.empty() && !first_invalid_utf8(svg) && svg.find("\uFFFE") == svg.npos && svg.find("\uFFFF") == svg.npos;
}

// What stands before a path's point, and the point.
struct Move {
  char kind;
  double first = 0, second = 0;
};

std::vector<Move> moves_of(const std::string& path) {
  std::vector<Move> moves;
  std::istringstream in(path);
  for (char kind; in >> kind;) {
    Move& move = moves.emplace_back(Move{kind});
    if (kind != 'Z') in >> move.first;
    if (kind == 'M' || kind == 'L') in >> move.second;
  }
  return moves;
}

Axis axis(bool logarithmic, double low, double high) { return Axis(logarithmic, low, high, 1e9, 1); }

}  // namespace

TEST_CASE("ticks by hand") {
  struct Row {
    bool logarithmic;
    double low, high;
    std::vector<std::string> names;
  };
  const std::vector<Row> rows{
      {false, 0, 5000, {"0", "1000", "2000", "3000", "4000", "5000"}},
      {false, 10, 300, {"0", "50", "100", "150", "200", "250", "300"}},
      {false, 0.3, 0.9, {"0", "0.2", "0.4", "0.6", "0.8", "1"}},
      {false, 0.6, 0.9, {"0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9"}},
      {false, -1, 1, {"-1", "-0.5", "0", "0.5", "1"}},
      {false, 1e9, 1e9 + 2, {"1000000000", "1000000000.5", "1000000001", "1000000001.5", "1000000002"}},
      {false, 1, 1, {"0", "0.5", "1", "1.5"}},
      {false, 0, 0, {"-1", "-0.5", "0", "0.5", "1"}},
      {true, 2, 9, {"2", "5", "10"}},
      {true, 900, 1100, {"500", "1000", "2000"}},
      {true, 1, 100, {"1", "2", "5", "10", "20", "50", "100"}},
      {true, 1, 101, {"1", "10", "100", "1000"}},
      {true, 1e-9, 1, {"1e-10", "1e-08", "1e-06", "0.0001", "0.01", "1"}},
      {true, 1, 1, {"0.5", "1", "2"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.low);
    CAPTURE(row.high);
    CHECK(axis(row.logarithmic, row.low, row.high).names() == row.names);
  }
}

TEST_CASE("every axis encloses its numbers, with 2 to 7 ticks of different names that leave room for one another") {
  std::vector<double> numbers{0};
  for (double size = 1e-100; size < 2e100; size *= 3.7e7)
    for (const double digits : {1.0, 1.0000001, 2.5, 9.99})
      for (const double sign : {1.0, -1.0}) numbers.push_back(std::min(size * digits, 1e100) * sign);
  for (const bool logarithmic : {false, true})
    for (const double low : numbers)
      for (const double high : numbers) {
        if (low > high || (logarithmic && low <= 0)) continue;
        const Axis one = axis(logarithmic, low, high);
        const std::vector<double>& ticks = one.ticks();
        CAPTURE(logarithmic);
        CAPTURE(low);
        CAPTURE(high);
        CHECK(ticks.size() >= 2);
        CHECK(ticks.size() <= 7);
        CHECK(ticks.front() <= low + 1e-6 * (ticks.back() - ticks.front()));
        CHECK(ticks.back() >= high - 1e-6 * (ticks.back() - ticks.front()));
        for (size_t k = 1; k < ticks.size(); ++k) {
          CHECK(ticks[k - 1] < ticks[k]);
          CHECK(one.names()[k - 1] != one.names()[k]);
        }
        CHECK(one.at(ticks.front()) == 0);
        CHECK(one.at(ticks.back()) == doctest::Approx(1));
      }
  const Axis narrow(false, 0, 5000, 100, 9);   // of 9 a letter: three names of four letters have 108
  CHECK(narrow.name_width() * static_cast<double>(narrow.ticks().size()) <= 108);
  CHECK(narrow.names() == std::vector<std::string>{"0", "5000"});
}

TEST_CASE("points are where they belong") {
  Chart chart = chart_of({line("a", {0, 50, 100}, {0, 1, 4})});
  const std::vector<Move> moves = moves_of(paths(svg(chart), "curve").at(0));
  const std::vector<Move> rule = moves_of(paths(svg(chart), "rule").at(0));   // the lowest: from left to right at 0
  REQUIRE(moves.size() == 3);
  const double left = rule[0].first, bottom = rule[0].second, right = rule[1].first, top = 62;
  CHECK(moves[0].kind == 'M');
  CHECK(moves[0].first == left);
  CHECK(moves[0].second == bottom);
  CHECK(moves[1].kind == 'L');
  CHECK(moves[1].first == doctest::Approx((left + right) / 2).epsilon(1e-3));
  CHECK(moves[1].second == doctest::Approx(bottom + (top - bottom) / 4).epsilon(1e-3));
  CHECK(moves[2].first == right);
  CHECK(moves[2].second == top);

  chart.log_x = chart.log_y = true;
  chart.series = {line("a", {1, 10, 100}, {1, 100, 10000})};
  const std::vector<Move> straight = moves_of(paths(svg(chart), "curve").at(0));
  CHECK(straight[1].first == doctest::Approx((straight[0].first + straight[2].first) / 2).epsilon(1e-3));
  CHECK(straight[1].second == doctest::Approx((straight[0].second + straight[2].second) / 2).epsilon(1e-3));
}

TEST_CASE("steps stay until the next point, and a band goes round") {
  Series steps{.label = "a", .x = {0, 50, 100}, .y = {4, 2, 0}, .low = {3, 1, 0}, .high = {4, 3, 1}, .steps = true};
  const std::string drawn = svg(chart_of({steps}));
  const auto kinds = [](const std::vector<Move>& moves) {
    std::string all;
    for (const Move& move : moves) all += move.kind;
    return all;
  };
  const std::vector<Move> curve = moves_of(paths(drawn, "curve").at(0)), band = moves_of(paths(drawn, "band").at(0));
  CHECK(kinds(curve) == "MHVHV");
  CHECK(kinds(band) == "MHVHVLVHVHZ");
  const double top = curve[0].second, half = curve[2].first, bottom = curve[4].first;
  CHECK(half == doctest::Approx((top + bottom) / 2).epsilon(1e-3));
  CHECK(band[0].second == top);
  CHECK(band[5].second == bottom);
  CHECK(band[6].first == doctest::Approx((half + bottom) / 2).epsilon(2e-3));   // low of the second point
  CHECK(band[7].first == curve[1].first);                                       // up to where that point is
  CHECK(band[9].first == curve[0].first);
  steps.steps = false;
  const std::string straight = svg(chart_of({steps}));
  CHECK(kinds(moves_of(paths(straight, "curve").at(0))) == "MLL");
  CHECK(kinds(moves_of(paths(straight, "band").at(0))) == "MLLLLLZ");
  steps.low = steps.high = {};
  CHECK(paths(svg(chart_of({steps})), "band").empty());
}

TEST_CASE("everything is on the page, a label stands beside the end of its curve, and no label on another") {
  std::vector<Series> eight;
  for (int k = 0; k < 8; ++k) eight.push_back(line(text("mechanism ", k), {0, 100}, {1, k < 5 ? 0.0 : 1.0}));
  const std::string drawn = svg(chart_of(eight));
  std::vector<double> heights;
  for (size_t at = 0; (at = drawn.find("\" class=\"label\"", at)) != drawn.npos; ++at)
    heights.push_back(std::stod(drawn.substr(drawn.rfind("y=\"", at) + 3)));
  REQUIRE(heights.size() == 8);
  std::sort(heights.begin(), heights.end());
  CHECK(heights.front() > 62);
  CHECK(heights.back() < 340 - 50);
  for (size_t k = 1; k < 8; ++k) CHECK(heights[k] - heights[k - 1] >= 17.9);
  const std::string alone = svg(chart_of({line("a", {0, 100}, {1, 0.3}), line("b", {0, 100}, {1, 0.8})}));
  for (const std::string& lead : paths(alone, "lead")) CHECK(moves_of(lead)[0].second == moves_of(lead)[1].second);
  for (const std::string& path : paths(drawn, "curve"))
    for (const Move& move : moves_of(path)) {
      CHECK(move.first >= 0);
      CHECK(move.first <= 520);
      CHECK(move.second >= 0);
      CHECK(move.second <= 340);
    }
}

TEST_CASE("charts are well-formed and say what they show, whatever their words; equal ones have equal bytes") {
  const std::vector<std::string> words{"plain",
                                       "",
                                       "<script>alert(1)</script>",
                                       "]]>&amp;&#0;\"'",
                                       std::string("\0\x01\x1b[31m\n\r\t\x7f", 10),
                                       "\xff\xfe broken \xc3",
                                       "\uFFFE\uFFFF",
                                       "Größe ≤ ½ für τ → ∞",
                                       std::string(10000, '<'),
                                       std::string(3000, '\xe2') + "end"};
  for (const std::string& word : words) {
    Chart chart = chart_of({line(word, {1, 2}, {3, 4}), line("other", {1, 2}, {3, 4})});
    CHECK(svg(chart) == svg(chart));
    chart.title = chart.x_title = chart.y_title = word;
    const std::string drawn = svg(chart);
    CAPTURE(word);
    CHECK(well_formed(drawn));
    CHECK_FALSE(contains_text(drawn, "<script"));
    CHECK(contents_of(drawn, "title").size() == 3);   // of the chart, and of each series
    for (const std::string& shown : contents_of(drawn, "text")) CHECK(shown.size() < 56 * 4);
  }
  const std::string drawn = svg(chart_of({line("a < b", {0, 100}, {2.5, 0.25})}));
  CHECK(contents_of(drawn, "title") == std::vector<std::string>{"title", "a &lt; b"});
  CHECK(contents_of(drawn, "desc") == std::vector<std::string>{"loss against step. a &lt; b: from 2.5 at 0 to 0.25 at 100."});
  const std::string cut = svg(chart_of({line("a label that is too long", {0, 100}, {2.5, 0.25})}));
  CHECK(contents_of(cut, "text").back() == "a label that is t…");
  CHECK(contents_of(cut, "title").back() == "a label that is too long");
  CHECK_FALSE(well_formed("<svg><g></svg></g>"));
  CHECK_FALSE(well_formed("<svg>&nbsp;</svg>"));
}

TEST_CASE("a chart has the colours of the report, light and dark") {
  const std::string drawn = svg(chart_of({line("a", {0}, {0})})), page = report_template;
  for (int k = 0; k < 8; ++k) {
    const auto colours = [&](const std::string& all, const std::string& before) {
      std::vector<std::string> found;
      for (size_t at = 0; (at = all.find(before, at)) != all.npos;) found.push_back(all.substr(at += before.size(), 7));
      return found;
    };
    std::vector<std::string> of_report = colours(page, text("--c", k, ": "));
    REQUIRE(of_report.size() == 3);
    CHECK(of_report[2] == of_report[0]);   // in print
    of_report.pop_back();
    CHECK(colours(drawn, text(".c", k, " { color: ")) == of_report);
  }
}

TEST_CASE("what cannot be drawn is refused by series and point") {
  const auto refused = [](std::vector<Series> series, bool log_x = false, bool log_y = false) {
    Chart chart = chart_of(std::move(series));
    chart.log_x = log_x;
    chart.log_y = log_y;
    return message_of([&] { svg(chart); });
  };
  CHECK(refused({}) == "chart: must have 1 to 8 series, found 0");
  CHECK(refused(std::vector<Series>(9, line("a", {1}, {1}))) == "chart: must have 1 to 8 series, found 9");
  CHECK(refused({line("a", {1}, {1}), line("b", {}, {})}) == "chart: series \"b\": has no points; hint: leave it out");
  CHECK(refused({line("a\n", {1, 2}, {1})}) ==
        "chart: series \"a\\x0a\": has 2 x, 1 y, 0 low and 0 high; hint: there must be as many of each, or no band");
  Series band = line("a", {1, 2}, {1, 1});
  band.low = {1};
  CHECK(contains_text(refused({band}), "has 2 x, 2 y, 1 low and 0 high"));
  band.high = {2};
  CHECK(contains_text(refused({band}), "has 2 x, 2 y, 1 low and 1 high"));
  band.low = {0, 3};
  band.high = {2, 2};
  CHECK(refused({band}) == "chart: series \"a\": low of point 2 is 3, above its high, 2");
  CHECK(refused({line("a", {1, 2, 1}, {1, 1, 1})}) == "chart: series \"a\": x of point 3 is 1, smaller than 2 before it");
  CHECK(refused({line("a", {1, 1, 2}, {1, 2, 3})}) == "no error");   // a step straight up
  CHECK(refused({line("a", {1}, {nan})}) == "chart: series \"a\": y of point 1 is nan; must be in -1e100 … 1e100");
  CHECK(refused({line("a", {0, 1}, {1, 1})}, true) ==
        "chart: series \"a\": x of point 1 is 0, on a logarithmic axis; must be in 1e-100 … 1e100");
  for (const double value : {nan, infinity, -infinity, 1.1e100, -1.1e100}) {
    CAPTURE(value);
    CHECK(contains_text(refused({line("a", {value}, {1})}), "x of point 1 is "));
    CHECK(contains_text(refused({line("a", {1}, {value})}), "y of point 1 is "));
    Series one{.label = "a", .x = {1}, .y = {1}, .low = {value}, .high = {1}, .steps = false};
    CHECK(contains_text(refused({one}), "low of point 1 is "));
    std::swap(one.low, one.high);
    CHECK(contains_text(refused({one}), "high of point 1 is "));
  }
  for (const double value : {0.0, -1.0, 1e-101}) {
    CHECK(contains_text(refused({line("a", {1}, {value})}, false, true), "y of point 1 is "));
    CHECK(refused({line("a", {1}, {value})}, true, false) == "no error");
  }
}

TEST_CASE("one point, equal numbers and the largest ones are drawn") {
  for (const double value : {0.0, 1.0, -1.0, 1e100, -1e100, 1e-100}) {
    const std::string drawn = svg(chart_of({line("a", {value}, {value})}));
    CAPTURE(value);
    CHECK(well_formed(drawn));
    CHECK_FALSE(contains_text(drawn, "nan"));
    CHECK_FALSE(contains_text(drawn, "inf"));
  }
  const std::string drawn = svg(chart_of({line("a", {-1e100, 1e100}, {-1e100, 1e100})}));
  CHECK_FALSE(contains_text(drawn, "nan"));
}

}  // namespace tapir
